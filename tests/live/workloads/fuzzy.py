"""What changes and goes before the full dump is done with it: each before the dump, and while it runs."""

import datetime
import threading
import time

from .dumps import dump_within_increments
from .registry import numbered, register

HELD = 0.9  # seconds; mongodump has its starting point then, and no list of databases
T = datetime.datetime(2026, 1, 1)


def fuzzy_since(version):
    """Registers it twice. It yields once, between what comes before the increments and what they begin with."""
    return lambda function: _register_both(function, version)


def _register_both(function, since):
    def name(when):
        return f"{function.__name__} {when}".replace("_", " ")

    def begin(h):
        steps = function(h)
        next(steps)
        h.note()
        return steps, h.last_visible()

    def before(h):
        steps, start = begin(h)
        h.note()
        next(steps, None)
        dump_within_increments(h, start)
        h.db.after.insert_one({"_id": "after"})

    def during(h):
        steps, start = begin(h)
        h.client.admin.command("configureFailPoint", "failCommand", mode={"times": 1}, data={
            "failCommands": ["listDatabases"], "blockConnection": True, "blockTimeMS": int(HELD * 1000)})
        error = []
        dump = threading.Thread(target=lambda: _noting(error, h.full_dump))
        dump.start()
        time.sleep(HELD / 3)
        next(steps, None)
        dump.join()
        if error:
            raise error[0]
        h.last = start
        h.note()
        h.cut()

    register(name("before the dump"), before, since)
    register(name("during the dump"), during, max(since, "4.4"))  # the older have no such failpoint
    return function


def _noting(error, work):
    try:
        work()
    except Exception as caught:
        error.append(caught)


@fuzzy_since("5.0")
def a_bucket_updated_and_deleted(h):
    h.db.create_collection("ts", timeseries={"timeField": "t", "metaField": "m"})
    h.db.ts.insert_one({"t": T, "m": 1, "x": 1})
    yield
    h.db.ts.insert_one({"t": T, "m": 1, "x": 2})
    h.db.ts.delete_many({"m": 1})
    h.db.ts.insert_one({"t": T, "m": 2})


@fuzzy_since("5.0")
def a_time_series_made_again(h):
    h.db.create_collection("ts", timeseries={"timeField": "t", "metaField": "m"})
    h.db.ts.insert_one({"t": T, "m": 1, "x": 1})
    yield
    h.db.ts.insert_one({"t": T, "m": 1, "x": 2})
    h.db.ts.drop()
    h.db.create_collection("ts", timeseries={"timeField": "t", "granularity": "hours"})
    h.db.ts.insert_one({"t": T, "x": 3})


@fuzzy_since("6.0")
def a_time_series_made_coarser_twice(h):
    h.db.create_collection("ts", timeseries={"timeField": "t"})
    yield
    for granularity in ("minutes", "hours"):
        h.db.command("collMod", "ts", timeseries={"granularity": granularity})


@fuzzy_since("4.2")  # before 5.0 servers write nothing about what a capped collection gives up
def a_capped_document_updated_and_evicted(h):
    h.db.create_collection("log", capped=True, size=4096, max=2)
    h.db.log.insert_many(numbered(2))
    yield
    h.db.log.update_one({"_id": 0}, {"$set": {"n": 7}})
    h.db.log.insert_one({"_id": 2})


@fuzzy_since("5.0")
def a_capped_document_inserted_and_deleted(h):
    h.db.create_collection("log", capped=True, size=4096, max=2)
    h.db.log.insert_many(numbered(2))
    yield
    h.db.log.insert_one({"_id": 2})
    h.db.log.delete_one({"_id": 2})


@fuzzy_since("4.2")
def users_and_roles_changed_and_dropped(h):
    for name in ("stays", "one", "two"):
        h.db.command("createUser", name, pwd="secret", roles=[])
        h.db.command("createRole", name, privileges=[], roles=[])
    yield
    for name in ("one", "two"):
        h.db.command("updateUser", name, customData={"n": 1})
        h.db.command("grantRolesToRole", name, roles=["read"])
    for name in ("one", "two"):
        h.db.command("dropUser", name)
        h.db.command("dropRole", name)


@fuzzy_since("5.0")
def names_that_views_take_over(h):
    h.db.a.insert_one({"_id": 1})
    yield
    for name in ("v", "ts"):
        h.db[name].insert_one({"_id": 1})
        h.db[name].create_index("n")
        h.db[name].drop()
    h.db.create_collection("v", viewOn="a", pipeline=[])
    h.db.create_collection("ts", timeseries={"timeField": "t"})
    h.db.ts.insert_one({"t": T})


@fuzzy_since("4.2")
def collections_of_the_system_that_go(h):
    h.client.admin.mine.insert_one({"_id": 1})
    h.client.gone["system.js"].insert_one({"_id": "f", "value": 1})
    yield
    h.client.admin.mine.insert_one({"_id": 2})
    h.client.admin.mine.drop()
    h.client.gone["system.js"].insert_one({"_id": "g", "value": 2})
    h.client.drop_database("gone")


@fuzzy_since("4.2")
def a_database_in_another_case(h):
    h.client.gone.a.insert_one({"_id": 1})
    yield
    h.client.gone.b.insert_one({"_id": 1})
    h.client.drop_database("gone")
    h.client.GONE.a.insert_one({"_id": 1})
