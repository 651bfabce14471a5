#!/usr/bin/env python3
"""What all tools have in common: help, usage, outputs, overlap of inputs and outputs, untrusted names."""
import array
import fcntl
import os
import resource
import signal
import stat
import subprocess
import termios
import threading
import time
import unittest

from support import BIN, BSON_TOOLS, ENVIRONMENT, MARK, TOOLS, ToolTest, entries, entry


class Help(ToolTest):
    def test_help_goes_to_stdout_and_names_every_option_and_an_example(self):
        for tool in TOOLS:
            for option in ("-h", "--help"):
                out = self.good(tool, option).decode()
                self.assertIn(f"Usage:\n  oplog-{tool} ", out)
                for common in ("--quiet", "--verbose", "--progress", "--no-progress", "--version"):
                    self.assertIn(common, out)
                self.assertRegex(out, rf"\nExample:\n(  \S.*\n)*  oplog-{tool} ")

    def test_the_example_of_every_help_works_as_printed(self):
        for tool in TOOLS:
            with self.subTest(tool):
                os.makedirs(self.dir / tool)
                example = self.good(tool, "--help").decode().split("\nExample:\n", 1)[1]
                # The oplog or the chain that it names, of the time that it asks for.
                if "full/" in example:
                    for n, name in enumerate(("full/oplog.bson", "inc1/local/oplog.rs.bson", "inc2/local/oplog.rs.bson")):
                        self.write(f"{tool}/{name}", entries(2 * n + 1, 2 * n + 2, 2 * n + 3))
                else:
                    self.write(f"{tool}/oplog.bson", b"".join(entry(1610422195 + 600 * n) for n in range(20)))
                # mongodump is no part of this: a stand-in that keeps what it was told.
                self.write(f"{tool}/path/mongodump", b"#!/bin/sh\nprintf '%s\\n' \"$@\" >mongodump.args\n")
                os.chmod(self.dir / tool / "path/mongodump", 0o755)
                done = subprocess.run(["bash", "-euc", "set -o pipefail\n" + example], cwd=self.dir / tool, timeout=60, capture_output=True,
                                      env={**ENVIRONMENT, "PATH": f"{self.dir}/{tool}/path:{ENVIRONMENT['PATH']}"})
                self.assertEqual((done.returncode, done.stderr), (0, b""), example)
        self.assertEqual(self.read("range/mongodump.args").decode().split("\n")[:6],
                         ["-d", "local", "-c", "oplog.rs", "--query", '{"ts":{"$gte":{"$timestamp":{"t":1610433595,"i":1}}}}'])
        self.assertEqual(self.read("merge/oplog.bson"), entries(1, 2, 3, 4, 5, 6, 7))
        self.assertEqual(self.good("range", "slice/slice.bson").decode().split()[:3], ["1610422795:1", "1610423995:1", "3"])

    def test_version_is_one_line(self):
        for tool in TOOLS:
            self.assertRegex(self.good(tool, "--version").decode(), rf"\Aoplog-{tool} \d+\.\d+\.\d+\n\Z")


class Usage(ToolTest):
    def test_an_unknown_option_is_a_usage_error_and_nothing_is_written(self):
        self.write("a.bson", entries(1))
        for tool in TOOLS:
            for option in ("--nope", "--nope=1", "-Z"):
                name = option.lstrip("-").split("=")[0]
                self.usage(f"Option ‘{name}’ does not exist", tool, option, *self.command(tool, "a.bson"))
        self.assertEqual(self.files(), ["a.bson"])

    def test_an_option_without_its_argument_is_a_usage_error(self):
        for tool, option in (("slice", "from"), ("merge", "output"), ("split", "every"), ("cat", "ns"), ("range", "until")):
            self.usage(f"Option ‘{option}’ is missing an argument", tool, "--" + option)

    def test_a_flag_that_is_given_as_false_is_off(self):
        self.write("a.bson", entries(1))
        line = b"100:1 100:1 1 %d a.bson\n" % len(entries(1))
        for flag in ("first", "last", "long", "json", "query"):
            self.assertEqual(self.good("range", f"--{flag}=false", "a.bson"), line)
        self.assertEqual(self.good("range", "--first=true", "--last=false", "a.bson"), b"100:1\n")
        self.assertEqual(self.good("cat", "--relaxed=false", "--pretty=false", "a.bson"), self.good("cat", "a.bson"))
        self.assertEqual(self.good("stats", "--json=false", "--csv", "a.bson"), self.good("stats", "--csv", "a.bson"))
        self.good("merge", "--chain=false", "a.bson", "-", stdin=entries(3))
        for tool in ("slice", "merge", "cat", "filter"):
            self.write("out", b"old")
            self.fails(2, "{}: out: File exists\nhint: --force replaces it\n", tool, "--force=false", "a.bson", "-o", "out")
            self.assertEqual(self.read("out"), b"old")
            self.good(tool, "--force=true", "a.bson", "-o", "out")
        os.unlink(self.dir / "out")
        piece = self.good("split", "--entries", "1", "-o", "pieces", "a.bson").decode().strip()
        self.write(piece, b"old")
        self.fails(2, f"{{}}: {piece}: File exists\nhint: --force replaces it\n", "split", "--force=false", "--entries", "1", "-o", "pieces", "a.bson")
        self.assertEqual(self.read(piece), b"old")
        self.usage("Argument ‘maybe’ failed to parse", "slice", "--force=maybe", "a.bson", "-o", "out")

    def test_stdin_twice_is_a_usage_error(self):
        for tool in TOOLS:
            self.usage("stdin can be read only once", tool, *self.command(tool, "-", "-"))
        self.assertEqual(self.files(), [])

    def test_a_way_to_compress_that_is_none_is_a_usage_error(self):
        self.write("a.bson", entries(1))
        for tool in ("slice", "merge", "cat", "split"):
            self.usage("compression 'lz4' is none of zstd[:LEVEL], gzip[:LEVEL], none", tool, "--compress", "lz4", *self.command(tool, "a.bson"))
            self.usage("compression 'gzip:10' has a level that is not between 0 and 9", tool, "--compress", "gzip:10", *self.command(tool, "a.bson"))
        self.assertEqual(self.files(), ["a.bson"])

    def test_an_option_after_two_dashes_is_a_file(self):
        self.write("--nope", entries(1))
        for tool in TOOLS:
            self.good(tool, *self.command(tool), "--", "--nope")

    def test_a_comma_in_a_file_name_separates_nothing(self):
        self.write("a,b.bson", entries(1))
        self.assertEqual(self.good("range", "a,b.bson"), b"100:1 100:1 1 %d a,b.bson\n" % len(entries(1)))


class Outputs(ToolTest):
    def setUp(self):
        super().setUp()
        self.write("a.bson", entries(1, 2))

    def test_no_o_or_a_dash_is_stdout(self):
        for args in ((), ("-o", "-")):
            self.assertEqual(self.good("slice", *args, "a.bson"), entries(1, 2))
        self.assertEqual(self.good("slice", stdin=entries(3)), entries(3))
        self.assertEqual(self.good("slice", "a.bson", "-", stdin=entries(3)), entries(1, 2, 3))

    def test_the_value_of_an_option_may_stand_beside_it_or_after_it(self):
        os.makedirs(self.dir / "d")
        for name, args in {"d/out": ["-od/out"], "d/b.out": ["-qod/b.out"], "c": ["-oc"], "d/e": ["--output=d/e"], "-oh": ["--output", "-oh"],
                           "-v": ["-o", "-v"], "=f": ["-o=f"], "g\nh": ["--output=g\nh"], "i\nj": ["-oi\nj"]}.items():
            with self.subTest(args):
                self.good("slice", *args, "a.bson")
                self.assertEqual(self.read(name), entries(1, 2))
        self.assertEqual(self.good("slice", "a.bson", "-o-", "--"), entries(1, 2))
        self.usage("Option ‘o’ is missing an argument", "slice", "a.bson", "-qo")
        self.usage("Option ‘o’ does not exist", "range", "a.bson", "-o")

    def test_an_output_that_exists_is_refused_and_force_replaces_it(self):
        for tool in ("slice", "merge", "cat"):
            self.write("out", b"old")
            self.fails(2, "{}: out: File exists\nhint: --force replaces it\n", tool, "a.bson", "-o", "out")
            self.assertEqual(self.read("out"), b"old")
            for force in ("-f", "--force"):
                self.write("out", b"old")
                self.good(tool, force, "a.bson", "-o", "out")
                self.assertNotEqual(self.read("out"), b"old")
        self.assertEqual(self.files(), ["a.bson", "out"])

    def test_a_failed_run_leaves_an_existing_output_as_it_was(self):
        self.write("bad.bson", entries(1, 2) + b"x")
        self.write("out", b"old")
        for tool in BSON_TOOLS:
            self.fails(1, f"{{}}: bad.bson: offset {len(entries(1, 2))}: document 3: the stream ends inside a document: 1 stray bytes\n",
                       tool, "--force", "bad.bson", "-o", "out")
        self.assertEqual(self.read("out"), b"old")
        self.assertEqual(self.files(), ["a.bson", "bad.bson", "out"])

    def test_an_output_gets_the_permissions_that_the_umask_leaves(self):
        self.good("slice", "a.bson", "-o", "out", umask=0o027)
        self.assertEqual(stat.S_IMODE(os.stat(self.dir / "out").st_mode), 0o640)
        self.good("slice", "a.bson", "-fo", "out", umask=0o022)
        self.assertEqual(stat.S_IMODE(os.stat(self.dir / "out").st_mode), 0o644)

    def test_an_output_where_no_file_can_be_is_an_error(self):
        os.mkdir(self.dir / "d")
        self.fails(2, "{}: none/out: No such file or directory\n", "slice", "a.bson", "-o", "none/out")
        self.fails(2, "{}: d: Is a directory\n", "slice", "a.bson", "-o", "d")
        self.fails(2, "{}: d: Is a directory\n", "slice", "a.bson", "-f", "-o", "d")
        self.fails(2, "{}: a.bson/out: Not a directory\n", "slice", "a.bson", "-o", "a.bson/out")

    def test_an_output_that_is_an_input_is_refused_even_by_force(self):
        os.symlink("a.bson", self.dir / "link")
        os.link(self.dir / "a.bson", self.dir / "hard")
        for tool in ("slice", "merge", "cat"):
            for output in ("a.bson", "./a.bson", "link", "hard"):
                self.usage(f"the output {output} is an input", tool, "--force", "a.bson", "-o", output)
            with open(self.dir / "a.bson", "rb") as stdin:
                self.usage("the output a.bson is an input", tool, "--force", "-o", "a.bson", stdin=stdin)
        self.assertEqual(self.read("a.bson"), entries(1, 2))

    def test_stdout_that_is_an_input_is_refused(self):
        for tool in ("slice", "merge", "cat"):
            code, _, err = self.shell(f"oplog-{tool} a.bson >>a.bson")
            self.assertEqual((code, err), (2, f"oplog-{tool}: the output - is an input\nhint: oplog-{tool} --help\n"))
        self.assertEqual(self.read("a.bson"), entries(1, 2))

    def test_what_an_input_directory_stands_for_is_no_output_even_by_force(self):
        for directory, oplog, link in (("full", "oplog.bson", os.symlink), ("inc", "local/oplog.rs.bson", os.symlink), ("hard", "oplog.bson", os.link)):
            os.makedirs((self.dir / directory / oplog).parent)
            link(self.dir / "a.bson", self.dir / directory / oplog)
            for tool in ("slice", "merge", "cat", "filter"):
                for source in (directory, directory + "/"):
                    self.usage("the output a.bson is an input", tool, "--force", source, "-o", "a.bson")
                    code, _, err = self.shell(f"oplog-{tool} {source} >>a.bson")
                    self.assertEqual((code, err), (2, f"oplog-{tool}: the output - is an input\nhint: oplog-{tool} --help\n"))
        self.assertEqual(self.read("a.bson"), entries(1, 2))

    def test_stdout_that_is_the_oplog_of_an_input_directory_is_refused(self):
        self.write("full/oplog.bson", entries(1, 2))
        self.write("inc/local/oplog.rs.bson", entries(1, 2))
        for oplog in ("full/oplog.bson", "inc/local/oplog.rs.bson"):
            for tool in ("slice", "merge", "cat", "filter"):
                code, _, err = self.shell(f"oplog-{tool} {oplog.split('/')[0]} >>{oplog}")
                self.assertEqual((code, err), (2, f"oplog-{tool}: the output - is an input\nhint: oplog-{tool} --help\n"))
            self.assertEqual(self.read(oplog), entries(1, 2))

    def test_an_output_inside_an_input_directory_is_refused(self):
        self.write("full/oplog.bson", entries(1, 2))
        os.symlink("full", self.dir / "again")
        for output in ("full/out", "full/oplog.bson", "full/../full/out", "again/out"):
            for source in ("full", "full/", "again"):
                reason = "is an input" if output.endswith("/oplog.bson") else f"lies in the input {source}"
                self.usage(f"the output {output} {reason}", "slice", "--force", source, "-o", output)
        self.usage("the output full/pieces lies in the input full", "split", "--entries", "1", "-o", "full/pieces", "full")
        self.usage("the output full lies in the input full", "split", "--entries", "1", "-o", "full", "full")
        self.assertEqual(self.files(), ["a.bson", "again", "full", "full/oplog.bson"])

    def test_what_a_link_stands_for_is_replaced_not_the_link(self):
        self.write("old", b"old")
        os.symlink("old", self.dir / "link")
        self.good("slice", "--force", "a.bson", "-o", "link")
        self.assertTrue((self.dir / "link").is_symlink())
        self.assertEqual(self.read("old"), entries(1, 2))

    def test_diagnostics_that_nobody_can_read_change_no_exit_code(self):
        self.write("bad.bson", b"x")
        for tool in TOOLS:
            command = " ".join(self.command(tool))
            for redirection in ("2>&-", "2>/dev/full", "<&- 2>&-"):
                code, _, err = self.shell(f"oplog-{tool} {command} none {redirection} >/dev/null; echo $? >code; oplog-{tool} {command} bad.bson {redirection} >/dev/null; echo $? >>code")
                self.assertEqual((code, err, self.read("code")), (0, "", b"2\n1\n"), (tool, redirection))
        self.assertEqual(self.files(), ["a.bson", "bad.bson", "code"])

    def test_a_closed_stdin_or_stdout_is_an_error(self):
        code, _, err = self.shell("oplog-range <&-")
        self.assertEqual((code, err), (2, "oplog-range: -: Bad file descriptor\n"))
        for tool in TOOLS:
            code, _, err = self.shell(f"oplog-{tool} {' '.join(self.command(tool))} a.bson >&-")
            self.assertEqual((code, err), (2, f"oplog-{tool}: stdout: Bad file descriptor\n"))
        code, _, err = self.shell("oplog-slice a.bson -o out <&- >&- 2>&-")
        self.assertEqual((code, err, self.read("out")), (0, "", entries(1, 2)))

    def test_a_full_device_is_an_error(self):
        for tool in ("slice", "merge", "cat"):
            self.fails(2, "{}: /dev/full: No space left on device\n", tool, "a.bson", "-o", "/dev/full")
        for tool in TOOLS:
            with open("/dev/full", "wb") as full:
                self.fails(2, "{}: stdout: No space left on device\n", tool, *self.command(tool, "a.bson"), out=None, stdout=full)

    def test_a_full_disk_is_an_error_and_leaves_nothing(self):
        os.mkdir(self.dir / "disk")
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", self.dir / "disk"], capture_output=True).returncode != 0:
            self.skipTest("cannot mount a small disk")
        self.addCleanup(subprocess.run, ["umount", self.dir / "disk"])
        self.write("big.bson", b"".join(entry(100, n, size=1000) for n in range(1, 1000)))
        for tool in ("slice", "merge", "cat"):
            self.fails(2, "{}: disk/out: No space left on device\n", tool, "big.bson", "-o", "disk/out")
        code, out, err = self.run_tool("split", "--entries", "40", "-o", "disk/pieces", "big.bson")
        self.assertEqual((code, out), (2, b""))
        self.assertRegex(err, r"\Aoplog-split: disk/\.pieces\.\d+-0\.tmp/\d: No space left on device\n\Z")
        self.assertEqual(os.listdir(self.dir / "disk"), [])

    def test_a_full_stdout_is_reported_once_however_many_files_range_has(self):
        with open("/dev/full", "wb") as full:
            for form in ((), ("--long",), ("--json",), ("--first",)):
                self.fails(2, "{}: stdout: No space left on device\n", "range", *form, "a.bson", "a.bson", "a.bson", out=None, stdout=full)

    def test_a_file_over_the_size_limit_is_an_error_and_leaves_nothing(self):
        self.write("big.bson", b"".join(entry(100, n, size=1000) for n in range(1, 100)))

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))

        before = self.files()
        for tool in ("slice", "merge", "cat", "filter"):
            self.fails(2, "{}: out: File too large\n", tool, "big.bson", "-o", "out", preexec_fn=limit)
            with open(self.dir / "part", "wb") as part:
                self.fails(2, "{}: stdout: File too large\n", tool, "big.bson", out=None, stdout=part, preexec_fn=limit)
            os.unlink(self.dir / "part")
        code, out, err = self.run_tool("split", "--size", "1M", "-o", "pieces", "big.bson", preexec_fn=limit)
        self.assertEqual((code, out), (2, b""))
        self.assertRegex(err, r"\Aoplog-split: \.pieces\.\d+-0\.tmp/0: File too large\n\Z")
        self.assertEqual(self.files(), before)

    def test_pipes_that_do_not_block_are_waited_for(self):
        data = b"".join(entry(100, n, size=1000) for n in range(1, 1001))
        for tool in ("slice", "cat"):
            expected = self.good(tool, stdin=data)
            reads, writes = os.pipe2(os.O_NONBLOCK)
            out_reads, out_writes = os.pipe()
            os.set_blocking(out_writes, False)
            process = self.start(tool, stdin=reads, stdout=out_writes)
            os.close(reads)
            os.close(out_writes)
            time.sleep(0.1)  # it finds nothing to read
            os.set_blocking(writes, True)
            feeder = threading.Thread(target=lambda: (os.write(writes, data), os.close(writes)))
            feeder.start()
            time.sleep(0.2)  # it finds no room to write
            with open(out_reads, "rb") as out:
                self.assertEqual(out.read(), expected)
            feeder.join()
            self.assertEqual((process.wait(10), process.stderr.read()), (0, b""))

    def test_what_cannot_be_read_is_an_error(self):
        for tool in TOOLS:
            self.fails_on(tool, 2, "{}: none.bson: No such file or directory\n", "none.bson")
            self.fails_on(tool, 2, "{}: /proc/self/mem: Input/output error\n", "/proc/self/mem")
        os.mkdir(self.dir / "d")
        for tool in TOOLS:
            self.fails_on(tool, 2, "{}: d: neither oplog.bson nor local/oplog.rs.bson in this directory\n", "d")

    @unittest.skipUnless(os.geteuid() == 0, "needs another user")
    def test_a_file_without_permission_is_an_error(self):
        os.chmod(self.dir, 0o777)
        os.chmod(self.dir / "a.bson", 0o000)
        if subprocess.run([BIN / "oplog-range", "--version"], user=65534, capture_output=True).returncode != 0:
            self.skipTest("the tools cannot be run by another user")
        for tool in TOOLS:
            self.fails_on(tool, 2, "{}: a.bson: Permission denied\n", "a.bson", user=65534, group=65534)

    def unprivileged(self):
        """Options that run a tool as a user who may do nothing special."""
        if os.geteuid() != 0:
            self.skipTest("needs another user")
        os.chmod(self.dir, 0o755)
        if subprocess.run([BIN / "oplog-range", "--version"], user=65534, capture_output=True).returncode != 0:
            self.skipTest("the tools cannot be run by another user")
        return {"user": 65534, "group": 65534, "extra_groups": []}

    def test_a_directory_that_may_not_be_looked_into_is_an_error(self):
        nobody = self.unprivileged()
        self.write("d/oplog.bson", entries(1))
        self.write("i/local/oplog.rs.bson", entries(1))
        os.chmod(self.dir / "d", 0o000)
        os.chmod(self.dir / "i/local", 0o000)
        for directory, first in (("d", "d/oplog.bson"), ("i", "i/local/oplog.rs.bson")):
            for tool in ("range", "slice", "merge", "cat", "stats", "filter"):
                self.fails(2, f"{{}}: {first}: Permission denied\n", tool, directory, out=None, **nobody)

    def test_a_dangling_link_is_not_passed_over_for_another_oplog(self):
        self.write("d/local/oplog.rs.bson", entries(1))
        os.symlink("nowhere", self.dir / "d/oplog.bson")
        for tool in TOOLS:
            self.fails_on(tool, 2, "{}: d/oplog.bson: No such file or directory\n", "d")

    def test_a_directory_that_may_be_written_to_and_not_read_takes_an_output(self):
        nobody = self.unprivileged()
        os.chmod(self.dir / "a.bson", 0o644)
        os.mkdir(self.dir / "drop")
        os.chmod(self.dir / "drop", 0o733)
        for tool in ("slice", "merge", "cat", "filter"):
            self.good(tool, "a.bson", "-o", f"drop/{tool}", **nobody)
            self.assertEqual(self.read(f"drop/{tool}"), self.good(tool, "a.bson"))
            self.good(tool, "--force", "a.bson", "-o", f"drop/{tool}", **nobody)
        paths = self.good("split", "--entries", "1", "-o", "drop/pieces", "a.bson", **nobody).decode().split()
        self.assertEqual(b"".join(map(self.read, paths)), entries(1, 2))

    def test_of_several_inputs_that_fail_range_reports_each(self):
        self.write("bad.bson", b"x")
        out = b"100:1 100:2 2 %d a.bson\n" % len(entries(1, 2))
        self.fails(2, "{}: bad.bson: offset 0: document 1: the stream ends inside a document: 1 stray bytes\n{}: none: No such file or directory\n",
                   "range", "bad.bson", "none", "a.bson", out=out)

    def test_a_terminal_is_not_written_to(self):
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        for tool in BSON_TOOLS:
            code, _, err = self.run_tool(tool, "a.bson", stdout=slave)
            self.assertEqual((code, err), (2, f"oplog-{tool}: BSON is not written to a terminal; name a file with -o, or pipe it on\nhint: oplog-{tool} --help\n"))
        for tool in (*BSON_TOOLS, "filter"):
            for compress in ((), ("--compress", "zstd")):
                self.usage("BSON is not written to a terminal; name a file with -o, or pipe it on", tool, *compress, "a.bson", "-o", os.ttyname(slave))
                self.usage("BSON is not written to a terminal; name a file with -o, or pipe it on", tool, *compress, "a.bson", "-o", "/dev/stdout", stdout=slave, out=None)
                self.usage("BSON is not written to a terminal; name a file with -o, or pipe it on", tool, *compress, "a.bson", "-o", "/dev/tty", **self.at(slave))
        for method in ("zstd", "gzip:9"):
            for output in ((), ("-o", "-"), ("-o", "/dev/stdout"), ("-o", "/dev/tty")):
                self.usage("compressed text is not written to a terminal; name a file with -o, or pipe it on", "cat", "--compress", method, "a.bson", *output,
                           stdout=slave, out=None, **self.at(slave))
        self.assertEqual(self.unread(master), 0)
        for options in ((), ("--compress", "none"), ("-o", "/dev/tty")):  # text is for terminals
            code, _, err = self.run_tool("cat", *options, "a.bson", stdout=slave, **self.at(slave))
            self.assertEqual((code, err), (0, ""))
            self.assertTrue(os.read(master, 10000).startswith(b'{"op":"i"'))
        with os.fdopen(slave, "rb") as terminal:
            code, _, err = self.run_tool("slice", stdin=terminal)
        self.assertEqual((code, err), (2, "oplog-slice: no FILE named, and stdin is a terminal\nhint: oplog-slice --help\n"))

    def at(self, terminal):
        """Options that make it the terminal that a tool runs at."""
        return {"start_new_session": True, "preexec_fn": lambda: fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)}

    def unread(self, fd):
        count = array.array("i", [0])
        fcntl.ioctl(fd, termios.FIONREAD, count)
        return count[0]

    def test_names_are_escaped_in_messages_and_lines(self):
        name = "a\n\x1b[2J\u009b\udcffé.bson"
        shown = "a\\x0a\\x1b[2J\\xc2\\x9b\\xffé.bson"
        size = len(entries(1, 2))
        with open(os.fsencode(self.dir) + b"/" + os.fsencode(name), "wb") as f:
            f.write(entries(1, 2) + b"x")
        for tool in TOOLS:
            self.fails_on(tool, 1, f"{{}}: {shown}: offset {size}: document 3: the stream ends inside a document: 1 stray bytes\n", name)
        with open(os.fsencode(self.dir) + b"/" + os.fsencode(name), "wb") as f:
            f.write(entries(1, 2))
        self.assertEqual(self.good("range", name).decode(), f"100:1 100:2 2 {size} {shown}\n")

    def test_progress_is_shown_when_asked_for(self):
        code, _, err = self.run_tool("slice", "--no-progress", "a.bson")
        self.assertEqual((code, err), (0, ""))
        code, out, err = self.run_tool("slice", "--progress", "a.bson")
        self.assertEqual((code, out), (0, entries(1, 2)))


class Signals(ToolTest):
    def stalled(self, *args, **options):
        """A slice that has read 900 kB of its stdin and waits for more."""
        data = b"".join(entry(100, n, size=1000) for n in range(1, 901))
        process = self.start("slice", *args, stdin=subprocess.PIPE, **options)
        self.addCleanup(process.stdin.close)
        process.stdin.write(data)
        process.stdin.flush()
        return process, data

    def wait_for_input(self, process):
        """Until the process sleeps in a read of its empty stdin."""
        for _ in range(500):
            unread = array.array("i", [0])
            fcntl.ioctl(process.stdin.fileno(), termios.FIONREAD, unread)
            with open(f"/proc/{process.pid}/stat") as f:
                if unread[0] == 0 and f.read().rpartition(")")[2].split()[0] == "S":
                    return
            time.sleep(0.01)
        self.fail("it does not read")

    def wait_until_full(self, process, pipe):
        """Until nothing more gets into a pipe that nobody reads, and the process's main thread waits."""
        unread, last, same = array.array("i", [0]), -1, 0
        for _ in range(1000):
            fcntl.ioctl(pipe, termios.FIONREAD, unread)
            with open(f"/proc/{process.pid}/stat") as f:
                sleeps = f.read().rpartition(")")[2].split()[0] == "S"
            same = same + 1 if sleeps and unread[0] == last and last > 60000 else 0
            if same == 10:
                return
            last = unread[0]
            time.sleep(0.01)
        self.fail("the pipe does not fill")

    def processes_of(self, group):
        """The ids of a process group's."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as f:
                    fields = f.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                found.append(int(pid))
        return found

    def wait_until_none_is_left(self, group):
        for _ in range(500):
            if not self.processes_of(group):
                return
            time.sleep(0.01)
        self.fail(f"processes are left: {self.processes_of(group)}")

    def write_into_a_full_pipe(self, tool="slice", fifo=False, nonblocking=False):
        """A tool that waits for the reader of its output, and that output. Its stderr is closed to it."""
        data = b"".join(entry(100, n, size=1000) for n in range(1, 5001))
        self.write("big.bson", data)
        if fifo:
            os.mkfifo(self.dir / "fifo")
            reads = os.open(self.dir / "fifo", os.O_RDONLY | os.O_NONBLOCK)
            os.set_blocking(reads, True)
            process = self.start(tool, "big.bson", "-o", "fifo", stdin=subprocess.DEVNULL, start_new_session=True)
        else:
            reads, writes = os.pipe()
            os.set_blocking(writes, not nonblocking)
            process = self.start(tool, "big.bson", stdin=subprocess.DEVNULL, stdout=writes, start_new_session=True)
            os.close(writes)
        self.wait_until_full(process, reads)
        return process, open(reads, "rb"), data

    def test_a_tool_whose_reader_stalls_ends_at_once_and_the_reader_gets_the_mark(self):
        for tool in (*BSON_TOOLS, "filter"):
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                process, reader, data = self.write_into_a_full_pipe(tool, nonblocking=number == signal.SIGINT)
                with reader:
                    process.send_signal(number)
                    self.assertEqual(process.wait(5), -number)
                    self.assertEqual(process.stderr.read(), b"")  # whoever reads it waits for nobody
                    got = reader.read()
                self.assertEqual((got[-4:], data.startswith(got[:-4]), len(got) > 60000), (MARK, True, True), tool)
                self.wait_until_none_is_left(process.pid)

    def test_a_fifo_whose_reader_stalls_gets_the_mark_too(self):
        process, reader, data = self.write_into_a_full_pipe(fifo=True)
        with reader:
            process.terminate()
            self.assertEqual(process.wait(5), -signal.SIGTERM)
            got = reader.read()
        self.assertEqual((got[-4:], data.startswith(got[:-4])), (MARK, True))
        self.wait_until_none_is_left(process.pid)

    def test_nothing_is_left_of_a_tool_whose_reader_goes_away_without_reading_on(self):
        process, reader, _ = self.write_into_a_full_pipe()
        process.terminate()
        self.assertEqual(process.wait(5), -signal.SIGTERM)
        reader.close()
        self.wait_until_none_is_left(process.pid)

    def test_a_second_signal_to_all_that_is_left_loses_no_mark(self):
        for fifo in (False, True):
            process, reader, data = self.write_into_a_full_pipe(fifo=fifo)
            with reader:
                os.killpg(process.pid, signal.SIGINT)
                self.assertEqual(process.wait(5), -signal.SIGINT)
                os.killpg(process.pid, signal.SIGTERM)
                time.sleep(0.1)
                got = reader.read()
            self.assertEqual((got[-4:], data.startswith(got[:-4])), (MARK, True))
            self.wait_until_none_is_left(process.pid)

    def test_text_that_a_signal_breaks_off_gets_no_mark(self):
        process, reader, _ = self.write_into_a_full_pipe("cat")
        with reader:
            process.terminate()
            self.assertEqual(process.wait(5), -signal.SIGTERM)
            self.assertTrue(self.good("cat", "big.bson").startswith(reader.read()))

    def test_a_killed_tool_leaves_no_file(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
            process, _ = self.stalled("-o", "out.bson")
            self.wait_for_input(process)
            process.send_signal(number)
            self.assertEqual(process.wait(10), -number)
            self.assertEqual(self.files(), [])

    def test_a_killed_split_leaves_no_piece_and_no_debris(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process = self.start("split", "--entries", "100", "-o", "pieces", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self.addCleanup(process.stdin.close)
            self.addCleanup(process.stdout.close)
            process.stdin.write(b"".join(entry(100, n, size=1000) for n in range(1, 901)))
            process.stdin.flush()
            self.wait_for_input(process)
            process.send_signal(number)
            self.assertEqual(process.wait(10), -number)
            self.assertEqual(process.stdout.read(), b"")
            self.assertEqual(self.files(), [])

    def test_a_tool_killed_amid_a_pipe_makes_the_next_fail(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            process, data = self.stalled(stdout=subprocess.PIPE)
            after = self.start("slice", "-o", "out.bson", stdin=process.stdout)
            process.stdout.close()
            self.wait_for_input(process)
            process.send_signal(number)
            self.assertEqual(process.wait(10), -number)
            self.assertEqual(after.wait(10), 1)
            self.assertRegex(after.stderr.read().decode(), r"\Aoplog-slice: -: offset \d+: document \d+: .*\n\Z")
            self.assertEqual(self.files(), [])

    def test_a_tool_killed_while_it_writes_to_a_fifo_makes_its_reader_fail(self):
        os.mkfifo(self.dir / "fifo")
        after = self.start("slice", "fifo", "-o", "out.bson")
        process, _ = self.stalled("-o", "fifo")
        self.wait_for_input(process)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), -signal.SIGTERM)
        self.assertEqual(after.wait(10), 1)
        self.assertEqual(self.files(), ["fifo"])

    def test_a_signal_that_is_ignored_stays_ignored(self):
        process, data = self.stalled("-o", "out.bson", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        self.wait_for_input(process)
        process.send_signal(signal.SIGHUP)
        process.stdin.close()
        self.assertEqual(process.wait(10), 0)
        self.assertEqual(self.read("out.bson"), data)


if __name__ == "__main__":
    unittest.main()
