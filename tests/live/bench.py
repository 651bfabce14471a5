"""One workload at a time: written to a source, restored to a target in every way, compared."""

import shutil
from dataclasses import dataclass, field

from compare import differences, portable, state_of
from history import History
from server import Server
from tools import Refusal, ToolError, run

POINTS_OF_USUAL = 2  # beside the end; the usual way is shown for information only
FAILURES_SHOWN = 3
SOURCE_PARAMETERS = {
    "enableTestCommands": 1,
    "maxNumberOfTransactionOperationsInSingleOplogEntry": 5,  # so that transactions of six writes are chains
}


@dataclass
class Cell:
    """What came of one way to restore: a verdict, and what is wrong, a line each."""
    text: str
    details: list = field(default_factory=list)
    identical: bool = False
    broken: bool = False  # the workload itself failed


class Bench:
    """A source and a target, used by one workload at a time."""

    def __init__(self, folder, tools, keep, *, mongod=None, target_mongod=None, fcv=None):
        self.folder = folder
        self.tools = tools
        self.keep = keep
        self.mongod = mongod
        self.fcv = fcv
        self.source = self._new_source()
        self.target = Server(folder / "target", mongod=target_mongod or mongod, fcv=None if target_mongod else fcv)

    def _new_source(self):
        return Server(self.folder / "source", mongod=self.mongod, fcv=self.fcv, parameters=SOURCE_PARAMETERS)

    def wait(self):
        self.source.wait()
        self.target.wait()

    def measure(self, name, write, methods):
        """A Cell a method."""
        scratch = self.folder / "case"
        scratch.mkdir()
        try:
            history = self._written(write, scratch)
            cells = [self._cell(method, history, scratch) for method in methods]
            if self.keep and not all(cell.identical for cell, method in zip(cells, methods) if method.tool):
                shutil.copytree(scratch, self.keep / name.replace(" ", "_"), dirs_exist_ok=True)
            return cells
        finally:
            shutil.rmtree(scratch)

    def _written(self, write, scratch):
        try:
            self.source.wipe()
            history = History(self.source, self.tools, scratch)
            write(history)
            history.finish()
            return history
        except Exception:
            self.source.stop()  # it may hold failpoints and transactions that would hang the next workload
            self.source = self._new_source().wait()
            raise

    def _cell(self, method, history, scratch):
        bad = []
        points = history.points if method.tool else informative(history.points)
        for point in points:
            cell = self._restored(method, history, point, scratch / "restore")
            if not cell.identical:
                bad.append(cell)
            if len(bad) == FAILURES_SHOWN:
                break
        if bad:
            return Cell(bad[0].text, [line for cell in bad for line in cell.details])
        return Cell("identical" + (f" ×{len(points)}" if len(points) > 1 else ""), identical=True)

    def _differences(self, expected, actual):
        if self.source.describe() != self.target.describe():
            expected, actual = portable(expected), portable(actual)
        return differences(expected, actual)

    def _dump_differences(self, method, work):
        """What oplog-diff says of the dump that was restored and one of the restored server. Another version has other metadata."""
        proof = method.proof(work, work / "redumped")
        if not proof or self.source.describe() != self.target.describe():
            return []
        self.tools.mongodump(self.target, "-o", str(work / "redumped"))
        try:
            return run(proof).splitlines()
        except ToolError as error:
            return error.lines

    def _restored(self, method, history, point, work):
        title = f"{method.name} at {point.time.time}:{point.time.inc}" if point.time else f"{method.name} at the end"
        work.mkdir()
        self.target.wipe()
        try:
            commands = method.commands(history, point, work)
            if point.state is None:
                return Cell("NOT REFUSED", [title])
            for arguments in commands:
                self.tools.mongorestore(self.target, *arguments)
            lines = self._differences(point.state, state_of(self.target)) + self._dump_differences(method, work)
        except Refusal as refusal:
            return Cell(f"refused: {refusal}", [title, *refusal.lines],
                        identical=point.state is None or method.name in history.may_refuse)
        except ToolError as error:
            return Cell(f"failed: {error}", [title, *error.lines])
        finally:
            shutil.rmtree(work)
        return Cell(f"DIFFERS ({len(lines)})" if lines else "identical", [title, *lines], not lines)


def informative(points):
    """A few are enough of the usual way, which refuses nothing."""
    return [point for point in points[:-1][:POINTS_OF_USUAL] + points[-1:] if point.state is not None]
