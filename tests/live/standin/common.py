"""What the stand-ins for mongodump and mongorestore share: the connection, and the files of a dump."""

import argparse
import base64
import gzip
import hashlib
import os
import re
import sys
from pathlib import Path
from urllib.parse import quote_plus, unquote_plus

import bson
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from bson.son import SON
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from version import VERSION

ANY_TEXT = CodecOptions(unicode_decode_error_handler="replace")  # what is no UTF-8 is passed on as it is, in raw documents
RAW = ANY_TEXT.with_options(document_class=RawBSONDocument)
EXACT = ANY_TEXT.with_options(document_class=SON, datetime_conversion=DatetimeConversion.DATETIME_MS)
BUCKETS = "system.buckets."
KEPT_CONFIG = {"chunks", "collections", "databases", "settings", "shards", "tags", "version"}
METADATA = ".metadata.json"
LONGEST_NAME = 238
CUT_NAME = 208


class Failure(Exception):
    pass


def parser(name):
    arguments = argparse.ArgumentParser(prog=name, description=f"{name}, {VERSION}", add_help=True)
    arguments.add_argument("--version", action="version", version=f"{name} version: {VERSION}")
    arguments.add_argument("--uri")
    arguments.add_argument("--config")
    arguments.add_argument("--host", default="localhost")
    arguments.add_argument("--port")
    arguments.add_argument("-u", "--username")
    arguments.add_argument("-p", "--password")
    arguments.add_argument("--authenticationDatabase", default="admin")
    arguments.add_argument("-d", "--db")
    arguments.add_argument("-c", "--collection")
    arguments.add_argument("--gzip", action="store_true")
    arguments.add_argument("-j", "--numParallelCollections")
    arguments.add_argument("-v", "--verbose", action="count")
    arguments.add_argument("--quiet", action="store_true")
    return arguments


def connect(options):
    settings = _config_file(options.config) if options.config else {}
    uri = options.uri or settings.get("uri")
    if not uri:
        host = options.host.split("/")[-1]
        port = options.port or "27017"
        uri = "mongodb://" + (host if ":" in host else f"{host}:{port}") + "/?directConnection=true"
    password = options.password or settings.get("password")
    login = {}
    if options.username:
        login = {"username": options.username, "password": password, "authSource": options.authenticationDatabase}
    elif password:  # for the user that the URI names
        uri = re.sub(r"^(mongodb://[^:@/]+)@", lambda match: f"{match[1]}:{quote_plus(password)}@", uri)
    client = MongoClient(uri, retryWrites=False, serverSelectionTimeoutMS=30000, **login)
    client.admin.command("ping")
    return client


def _config_file(path):
    """The two keys that matter, one a line, as in `uri: mongodb://…`."""
    lines = Path(path).read_text().splitlines()
    pairs = (re.match(r"\s*(uri|password)\s*:\s*(['\"]?)(.*)\2\s*$", line) for line in lines)
    return {pair[1]: pair[3] for pair in pairs if pair}


def file_name(collection):
    """A collection's name as its files have it."""
    escaped = quote_plus(collection, safe="")
    if len(escaped) > LONGEST_NAME:
        digest = base64.urlsafe_b64encode(hashlib.sha1(collection.encode()).digest()).decode().rstrip("=")
        escaped = f"{escaped[:CUT_NAME]}%24{digest}"
    return escaped


def collection_name(stem):
    return unquote_plus(stem)


def write_file(path, data, compressed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 1) if compressed else data)


def read_file(path, compressed):
    data = path.read_bytes()
    return gzip.decompress(data) if compressed else data


def documents(data, what):
    """Raw documents; a length that does not fit is an error."""
    position = 0
    while position < len(data):
        size = int.from_bytes(data[position:position + 4], "little")
        if size < 5 or position + size > len(data):
            raise Failure(f"{what}: corrupt BSON at byte {position}")
        yield RawBSONDocument(data[position:position + size], RAW)
        position += size


def unpack_archive(archive, folder):
    """Writes the files that an archive stands for."""
    data = archive.read()
    if data[:4] != bytes.fromhex("6de29981"):
        raise Failure("stream or file does not appear to be a mongodump archive")
    at, ended, expected = 4, set(), set()

    def block():
        nonlocal at
        found = []
        while data[at:at + 4] != b"\xff" * 4:
            size = int.from_bytes(data[at:at + 4], "little")
            if size < 5 or at + size > len(data):
                raise Failure(f"corruption found in archive; at byte {at}")
            found.append(data[at:at + size])
            at += size
        at += 4
        return found

    for described in map(bson.decode, block()[1:]):
        name, prefix = described["collection"], BUCKETS if described["type"] == "timeseries" else ""
        expected.add((described["db"], prefix + name))
        if described["metadata"]:
            write_file(folder / described["db"] / (file_name(name) + METADATA), described["metadata"].encode(), False)
        if described["type"] != "view":
            write_file(folder / described["db"] / (file_name(prefix + name) + ".bson"), b"", False)
    while at < len(data):
        header, *found = block()
        header = bson.decode(header)
        if header["EOF"]:
            ended.add((header["db"], header["collection"]))
        with open(folder / header["db"] / (file_name(header["collection"]) + ".bson"), "ab") as file:
            file.writelines(found)
    if ended != expected:
        raise Failure("archive finished before all collections were seen")


def to_json(document):
    return json_util.dumps(document, json_options=json_util.CANONICAL_JSON_OPTIONS, separators=(",", ":")).encode()


def from_json(data):
    options = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, document_class=SON, datetime_conversion=DatetimeConversion.DATETIME_MS)
    return json_util.loads(data, json_options=options)


def exact(raw):
    """A raw document decoded so that encoding it again gives the same bytes."""
    return bson.decode(raw.raw, EXACT)


def say(text):
    print(text, file=sys.stderr)


def run(main):
    """Ends the program as the real tools do, without the half second in which the driver winds up its threads."""
    code = 0
    try:
        main()
    except (Failure, PyMongoError, OSError) as error:
        say(f"Failed: {error}")
        code = 1
    sys.stdout.flush()
    os._exit(code)
