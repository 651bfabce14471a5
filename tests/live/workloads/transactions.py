"""Transactions: one entry, chains, prepared, aborted, cut, with DDL inside.

The source writes at most five operations an entry, so a transaction of six is a chain.
"""

from pymongo import WriteConcern
from pymongo.read_concern import ReadConcern

from .registry import numbered, workload, workload_since


def transact(h, write):
    """In a transaction; again where the server gives it up, as it may a large one when its cache is full."""
    with h.client.start_session() as session:
        session.with_transaction(write)


def insert_in_transaction(h, count, *, tag, collections=("a", "b")):
    def write(session):
        for number in range(count):
            h.db[collections[number % len(collections)]].insert_one({"_id": f"{tag}{number}"}, session=session)
    transact(h, write)


def parts_of_chains(h):
    """The times of the entries after which a chain is still open."""
    return [entry["ts"] for entry in h.entries({"o.partialTxn": True})]


class Prepared:
    """A transaction that writes, is prepared, and stays so until commit() or abort()."""

    def __init__(self, h, write):
        self.h = h
        self.session = h.client.start_session()
        self.session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority"))
        write(self.session)
        self.time = h.client.admin.command("prepareTransaction", session=self.session)["prepareTimestamp"]

    def commit(self):
        self.h.client.admin.command("commitTransaction", commitTimestamp=self.time, session=self.session)
        self._leave()

    def abort(self):
        self.h.client.admin.command("abortTransaction", session=self.session)
        self._leave()

    def _leave(self):
        self.session.abort_transaction()  # the driver's own state; the server has ended it already
        self.session.end_session()


def start(h):
    h.db.a.insert_many(numbered(20))
    h.db.b.insert_many(numbered(20))
    h.full_dump()


@workload
def small_transactions(h):
    start(h)
    for number in range(3):
        def write(session, number=number):
            h.db.a.insert_one({"_id": f"t{number}"}, session=session)
            h.db.a.update_one({"_id": number}, {"$inc": {"n": 100}}, session=session)
            h.db.b.delete_one({"_id": number}, session=session)
        transact(h, write)
        h.remember()
        h.cut()


@workload
def a_chained_transaction_within_an_increment(h):
    start(h)
    insert_in_transaction(h, 23, tag="x")
    h.cut()
    insert_in_transaction(h, 6, tag="y")


@workload
def a_chain_cut_between_two_increments(h):
    start(h)
    insert_in_transaction(h, 23, tag="x")
    h.cut(parts_of_chains(h)[1])
    h.db.a.delete_one({"_id": 0})


@workload
def a_chain_cut_after_each_of_its_entries(h):
    start(h)
    insert_in_transaction(h, 17, tag="x")
    insert_in_transaction(h, 12, tag="y")
    for time in parts_of_chains(h):
        h.cut(time)


@workload
def a_point_in_time_inside_a_chain(h):
    start(h)
    h.db.a.insert_one({"_id": "before"})
    h.remember()
    before = h.points[-1].state
    insert_in_transaction(h, 17, tag="x")
    h.remember()
    times = parts_of_chains(h)
    for time in times:  # not committed yet, so none of it is there
        h.remember_at(time, before)
    h.cut(times[0])


@workload
def updates_and_deletes_in_chains(h):
    h.client.other.c.insert_one({"_id": "made before"})
    start(h)

    def write(session):
        h.db.a.update_many({}, {"$inc": {"n": 1}}, session=session)
        h.db.b.delete_many({"n": {"$lt": 7}}, session=session)
        h.db.a.update_one({"_id": 3}, {"$set": {"n": "twice"}}, session=session)
        h.db.a.delete_one({"_id": 4}, session=session)
        h.db.a.insert_one({"_id": 4, "back": True}, session=session)
        h.client.other.c.insert_many(numbered(7), session=session)
    transact(h, write)
    h.cut(parts_of_chains(h)[2])


@workload
def aborted_transactions(h):
    start(h)
    with h.client.start_session() as session:
        session.start_transaction()
        h.db.a.insert_many([{"_id": f"no{number}"} for number in range(12)], session=session)
        session.abort_transaction()
    h.cut()
    insert_in_transaction(h, 8, tag="yes")


@workload_since("4.4")
def ddl_inside_a_transaction(h):
    start(h)

    def write(session):
        h.db.create_collection("made", session=session)
        h.db.made.create_index("n", name="inside", session=session)
        h.db.made.insert_many(numbered(9), session=session)
        h.client.other.implied.insert_one({"_id": 1}, session=session)
    transact(h, write)
    h.cut(parts_of_chains(h)[0])
    h.remember()
    h.db.made.rename("renamed")
    h.cut()
    h.db.renamed.create_index("m")


@workload
def a_prepared_transaction_committed(h):
    start(h)
    prepared = Prepared(h, lambda session: h.db.a.insert_many([{"_id": f"p{number}"} for number in range(8)], session=session))
    h.cut()
    h.db.b.insert_one({"_id": "meanwhile"})
    h.cut()
    prepared.commit()


@workload
def a_prepared_transaction_aborted(h):
    start(h)
    prepared = Prepared(h, lambda session: h.db.a.insert_many([{"_id": f"p{number}"} for number in range(8)], session=session))
    h.cut()
    prepared.abort()
    h.db.b.insert_one({"_id": "after"})


@workload
def prepared_transactions_interleaved(h):
    h.db.c.insert_one({"_id": 0})
    start(h)
    first = Prepared(h, lambda session: h.db.a.insert_many([{"_id": f"p{number}"} for number in range(8)], session=session))
    second = Prepared(h, lambda session: h.db.b.update_many({}, {"$inc": {"n": 1000}}, session=session))
    third = Prepared(h, lambda session: h.db.c.insert_one({"_id": 1}, session=session))
    h.cut()
    second.commit()
    h.cut()
    third.abort()
    first.commit()


@workload
def a_transaction_prepared_at_the_end(h):
    start(h)
    h.db.a.insert_one({"_id": "before"})
    h.remember()
    prepared = Prepared(h, lambda session: h.db.a.insert_many([{"_id": f"p{number}"} for number in range(8)], session=session))
    h.finish(state=h.points[-1].state)
    prepared.abort()


@workload
def a_full_dump_during_a_prepared_transaction(h):
    h.db.a.insert_many(numbered(20))
    prepared = Prepared(h, lambda session: h.db.a.insert_many([{"_id": f"p{number}"} for number in range(8)], session=session))
    h.db.b.insert_many(numbered(5))
    h.full_dump()
    h.db.b.insert_one({"_id": "between"})
    h.cut()
    prepared.commit()


@workload
def a_transaction_of_forty_megabytes(h):
    h.db.a.insert_one({"_id": 0})
    h.full_dump()
    transact(h, lambda session: h.db.a.insert_many([{"_id": number + 1, "fill": b"x" * (10 << 20)} for number in range(4)], session=session))
    h.cut(parts_of_chains(h)[0])


@workload_since("5.0")
def operations_applied_by_hand(h):
    start(h)
    h.client.admin.command("applyOps", [
        {"op": "i", "ns": "shop.a", "o": {"_id": "by hand"}},
        {"op": "u", "ns": "shop.a", "o": {"$v": 2, "diff": {"u": {"n": 77}}}, "o2": {"_id": 7}},
        {"op": "d", "ns": "shop.b", "o": {"_id": 7}},
    ])
    h.cut()
    h.client.admin.command("applyOps", [
        {"op": "c", "ns": "shop.$cmd", "o": {"create": "c"}}, {"op": "i", "ns": "shop.c", "o": {"_id": 1}},
        {"op": "c", "ns": "shop.$cmd", "o": {"renameCollection": "shop.c", "to": "shop.d"}},
    ])
    made = {"op": "c", "ns": "shop.$cmd", "o": {"create": "e", "idIndex": {"v": 2, "key": {"_id": 1}, "name": "_id_"}}}
    nested = [{"op": "i", "ns": "shop.a", "o": {"_id": "nested"}}, made]
    h.client.admin.command("applyOps", [{"op": "c", "ns": "admin.$cmd", "o": {"applyOps": nested}}, {"op": "n", "ns": "", "o": {"msg": "x"}}])


@workload_since("4.4")
def a_transaction_then_renames(h):
    start(h)
    insert_in_transaction(h, 12, tag="x")
    h.cut(parts_of_chains(h)[0])
    h.db.a.rename("b", dropTarget=True)
    insert_in_transaction(h, 7, tag="y", collections=("b", "new"))
    h.cut(parts_of_chains(h)[0])
