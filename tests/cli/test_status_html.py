#!/usr/bin/env python3
"""status --html: the page of a backup directory. What a page must be test_stats_html.py says, and test_pages.py looks at it in a browser."""
import unittest

import test_chain
import test_watching
from schema import checked
from support import entry
from test_stats_html import Page, PageTest


def without_tests(base):
    """A class for setting things up, without its tests."""
    return type(base.__name__, (base,), {name: None for name in dir(base) if name.startswith("test")})


class Status(without_tests(test_chain.Chain)):
    assert_self_contained = PageTest.assert_self_contained

    def page(self, *arguments):
        path = self.folder.parent / "status.html"
        self.assertEqual(self.chain("status", "-f", "--html", path, *arguments), "")
        page = Page(path.read_text(encoding="utf-8"))
        self.assert_self_contained(page)
        self.assertEqual(page.data(), checked("status", self.chain("status", "--json", *arguments)))
        page.words = " ".join("".join(page.text).split())
        return page

    def test_windows_gaps_and_steps_are_shown(self):
        self.full(100, 200)
        self.inc(200, 3800)
        self.chain("close", "--chain", "latest", "--reason", "gap")
        self.full(11000, 12000, started=2000)
        self.inc(12000, 13000, started=3000)
        page = self.page()
        for text in ("There is a gap between what can be restored.", "after 1970-01-01T01:03:20Z (3800:1)", "before 1970-01-01T03:20:00Z (12000:1)", "2 h 16 min",
                     "closed: gap", "increment 1", "oplog of the full backup", "No copies are made", "no step has recorded what its oplog holds"):
            self.assertIn(text, page.words)
        self.assertEqual([s["seconds"] > 0 for s in page.data()["chains"][0]["steps"]], [True, False, True])
        self.assertEqual([(s["type"], s["oplogBytes"]) for s in page.data()["chains"][0]["steps"]],
                         [("full", 2 * len(entry(1))), ("slice", 3 * len(entry(1))), ("inc", 2 * len(entry(1)))])

    def test_damage_drills_and_doubt_are_warnings(self):
        self.full(100, 200)
        self.inc(200, 300)
        self.chain("close", "--chain", "latest", "--reason", "divergence")
        self.full(400, 500, started=2000)
        next(self.folder.glob("*/full/shop/a.bson")).write_bytes(b"damaged")
        for result, more in (("identical", ()), ("different", ("--reason", "<b>1 document"))):
            self.chain("add-drill", "--chain", "latest", "--result", result, "--started", "5000", "--seconds", "3", *more)
        page = self.page()
        for text in ("is damaged: ", "is doubtful: the source has rolled back", "The last drill: different: <b>1 document.", "identical"):
            self.assertIn(text, page.words)
        self.assertIn("warnings", [a.get("class") for _, a in page.elements])

    def test_a_step_that_is_overdue_is_a_warning(self):
        self.full(100, 200)
        config = self.folder.parent / "config.ini"
        config.write_text(f"[default]\ndbbak_dir = {self.folder}\nlog_file = {self.folder.parent}/log\ntime_interval = 1h\n")
        self.assertNotIn("overdue", self.page().words)
        self.assertRegex(self.page("--config", config).words, "The next step, .*, is overdue: it was due at 1970-01-0")

    def test_a_directory_without_backups_has_a_page(self):
        page = self.page()
        self.assertIn("There is no backup.", page.words)

    def test_names_cannot_break_out(self):
        self.folder = self.folder.rename(self.folder.parent / "<img src=x onerror=alert(1)>")
        self.step = self.folder / ".step"
        self.full(100, 200)
        (self.folder / "20200101_00_00_00").mkdir()
        (self.folder / "20200101_00_00_00/full").symlink_to("</script><script>")
        self.assertIn("<img src=x onerror=alert(1)>", self.page().words)

    def test_the_page_is_written_whole_or_not_at_all(self):
        self.full(100, 200)
        path = self.folder.parent / "status.html"
        self.chain("status", "--html", path)
        before = path.read_bytes()
        self.assertIn("File exists\nhint: --force replaces it", self.chain("status", "--html", path, expected=2))
        self.assertIn("lies in the input", self.chain("status", "--html", self.folder / "status.html", expected=2))
        self.assertIn("--html goes with status, not with verify", self.chain("verify", "--html", path, expected=2))
        self.assertIn("--html and --json exclude each other", self.chain("status", "--html", path, "--json", expected=2))
        here = self.folder
        self.folder = self.folder / "nowhere"
        self.chain("status", "--force", "--html", path, expected=2)
        self.folder = here
        self.assertEqual(path.read_bytes(), before)
        self.assertEqual(sorted(p.name for p in path.parent.iterdir()), ["dbbak", "status.html"])
        self.assertTrue(self.chain("status", "--html", "-").startswith("<!DOCTYPE html>"))


class Backup(without_tests(test_watching.Watching)):
    def page(self, *arguments):
        path = self.folder / "status.html"
        said = self.run_tool("status", "--html", path, "-f", *arguments)
        page = Page(path.read_text(encoding="utf-8"))
        PageTest.assert_self_contained(self, page)
        self.assertEqual({**page.data(), "due": None}, {**self.status(), "due": None})
        page.words, page.said = " ".join("".join(page.text).split()), said
        return page

    def test_what_the_last_step_saw_of_the_oplog_is_on_the_page(self):
        self.configure(metrics_file=self.metrics_file)
        self.run_tool("full")
        self.tick("a")
        self.run_tool("inc")
        page = self.page()
        oplog = page.data()["oplogs"][0]
        self.assertEqual((oplog["windowSeconds"], oplog["lagSeconds"], oplog["last"]), (oplog["leftSeconds"], 0, page.data()["windows"][-1]["last"]))
        self.assertIn("The oplog lasts", page.words)
        self.assertIn("No server was asked: what its oplog holds is from when a step last ended.", page.words)
        self.assertNotIn("no configuration was named", page.words)

    def test_a_server_that_is_away_is_said_on_stderr_and_the_page_is_there(self):
        self.run_tool("full")
        self.forbid()
        page = self.page()
        self.assertIn("the server cannot be asked how old the newest archived entry is", page.said)
        self.assertIn("No server was asked", page.words)
        self.assertEqual(len(page.data()["chains"]), 1)

    def test_a_cluster_has_a_lane_for_each_member(self):
        test_watching.Cluster.configure(self)
        self.run_tool("full")
        self.tick()
        self.run_tool("inc")
        page = self.page()
        members = [member["name"] for member in page.data()["clusters"][0]["members"]]
        self.assertEqual(members, ["config", "sh0", "sh1"])
        for member in members:
            self.assertIn("· " + member, page.words)

    def test_usage(self):
        for arguments, message in ((("status", "--html"), "say where the page goes"), (("inc", "--html", "x"), "--html and --force go with status, not with inc"),
                                   (("status", "--html", "x", "--json"), "--html and --json exclude each other"), (("status", "-f"), "--force goes with --html")):
            self.assertIn(message, self.run_tool(*arguments, expected=2))


if __name__ == "__main__":
    unittest.main()
