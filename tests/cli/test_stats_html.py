#!/usr/bin/env python3
"""oplog-stats --hot and --html: hot documents and fields, and a page that needs nothing but itself. test_pages.py looks at it in a browser."""
import base64
import hashlib
import html.parser
import json
import re
import unittest

from made_chain import Long, Time, encode
from schema import checked
from support import CHAINS, ToolTest, chain, entry

EVIL = ["</script><img src=x onerror=alert(1)>", "<script>alert(2)</script>.c", "shop.<b>'\"&amp;", "a.\u202egnp.exe", "x.]]>\u2028<!--\u2029", "shop.\x1b[31m"]


def operation(op, ns, o, seconds, ordinal=1, o2=None):
    return encode({"op": op, "ns": ns, "o": o, **({"o2": o2} if o2 else {}), "ts": Time(seconds, ordinal), "t": Long(1), "v": Long(2)})


def update(ns, number, o, seconds, ordinal=1):
    return operation("u", ns, o, seconds, ordinal, {"_id": number})


class Page(html.parser.HTMLParser):
    """What a browser would see: elements, the texts of scripts and styles, and the text between."""
    VOID = {"meta", "rect", "br", "link", "img", "input"}

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.open, self.scripts, self.styles, self.text, self.broken = [], [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in self.VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.broken.append((tag, self.getpos()))

    def handle_data(self, text):
        where = self.open[-1] if self.open else ""
        {"script": self.scripts, "style": self.styles}.get(where, self.text).append(text)

    def data(self):
        return json.loads(self.scripts[0])


def hashed(text):
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


class PageTest(ToolTest):
    def page(self, *arguments, name="page.html", tool="stats"):
        self.good(tool, "-f", "--html", name, *arguments)
        return Page(self.read(name).decode())

    def assert_self_contained(self, page):
        """Nothing outside is named, nothing in it runs but its own script, and every element is closed."""
        self.assertEqual((page.broken, page.open), ([], []))
        self.assertEqual(len(page.scripts), 2)
        self.assertEqual(len(page.styles), 1)
        policy = next(a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
        self.assertEqual(policy, f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src {hashed(page.styles[0])}; script-src {hashed(page.scripts[1])}")
        for tag, attributes in page.elements:
            self.assertNotIn(tag, ("link", "img", "iframe", "object", "embed", "base", "form", "b", "i"))
            self.assertLessEqual({"src", "style", "srcdoc", "action"} & set(attributes), set(), tag)
            self.assertEqual([name for name in attributes if name.startswith("on")], [], tag)
            self.assertTrue(attributes.get("href", "#").startswith("#"), attributes)
        self.assertEqual(re.findall(r"(?:https?:)?//[^\s'\"]+", "".join(page.styles)), [])
        self.assertEqual(set(re.findall(r"https?://[^\s'\"]+", page.scripts[1])), {"http://www.w3.org/2000/svg"})  # a name, not a place
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "fetch(", "XMLHttpRequest", "import(", "url("):
            self.assertNotIn(word, page.scripts[1] + page.styles[0])


class Hot(ToolTest):
    def setUp(self):
        super().setUp()
        entries = [operation("i", "shop.a", {"_id": 1}, 100)]
        entries += [update("shop.a", 1, {"$v": 2, "diff": {"u": {"status": n}, "sitems": {"a": True, f"u{n}": 1}}}, 101, n + 1) for n in range(5)]
        entries += [update("shop.b", "x", {"$v": 1, "$set": {"items.3.price": 1, "items.4.price": 2}}, 102), update("shop.b", "x", {"_id": "x", "new": 1}, 103),
                    operation("d", "shop.b", {"_id": "x"}, 104)]
        self.write("in.bson", b"".join(entries))

    def test_hot_documents_and_fields_are_counted(self):
        found = checked("stats", self.good("stats", "--hot", "--json", "in.bson"))
        self.assertEqual([(d["ns"], d["id"], d["atLeast"], d["atMost"]) for d in found["hotDocuments"]], [("shop.a", "1", 6, 6), ("shop.b", '"x"', 3, 3)])
        self.assertEqual([(f["ns"], f["field"], f["atLeast"]) for f in found["hotFields"]],
                         [("shop.a", "items.*", 5), ("shop.a", "status", 5), ("shop.b", None, 1), ("shop.b", "items.*.price", 1)])
        self.assertEqual(found["updates"], {"ofFields": 6, "replacements": 1, "notUnderstood": 0})
        self.assertEqual([(s["ns"], s["operations"]) for s in found["series"]], [("shop.a", [1, 5, 0, 0, 0]), ("shop.b", [0, 0, 1, 1, 1])])
        text = self.good("stats", "--hot", "--top", "2", "in.bson").decode()
        self.assertTrue(text.endswith("\n  hot documents, by operations\n             6  shop.a 1\n             3  shop.b \"x\"\n"
                                      "\n  hot fields, by updates\n             5  shop.a items.*\n             5  shop.a status\n"), text)

    def test_without_the_option_nothing_is_different(self):
        self.assertNotIn("hot", self.good("stats", "in.bson").decode())
        plain, hot = json.loads(self.good("stats", "--json", "in.bson")), json.loads(self.good("stats", "--json", "--hot", "in.bson"))
        self.assertEqual(plain, {name: hot[name] for name in plain})
        self.assertEqual(set(hot) - set(plain), {"files", "series", "hotDocuments", "hotFields", "updates", "longIds"})

    def test_documents_inside_transactions_count(self):
        found = json.loads(self.good("stats", "--hot", "--json", *chain("txn_cut")))
        self.assertGreater(found["total"]["operations"], found["entries"])
        self.assertEqual(sum(sum(s["operations"]) for s in found["series"]), found["total"]["operations"])
        self.assertLess(found["total"]["bytes"], found["bytes"])
        for what in ("operations", "bytes"):
            self.assertEqual([sum(values) for values in zip(*(s[what] for s in found["series"]))], [p[what] for p in found["periods"]])

    def test_too_many_documents_and_namespaces_are_bounds(self):
        entries = []
        for n in range(30000):
            entries.append(operation("i", f"shop.c{n % 3000}", {"_id": n}, 100 + n // 100, n % 100 + 1))
            if n % 7 == 0:
                entries.append(update("shop.hot", 7, {"$v": 2, "diff": {"u": {f"field{n}": 1, "n": n}}}, 100 + n // 100, n % 100 + 101))
        self.write("many.bson", b"".join(entries))
        found = checked("stats", self.good("stats", "--hot", "--json", "many.bson"))
        hot, fields = found["hotDocuments"][0], found["hotFields"][0]
        times = len(range(0, 30000, 7))
        self.assertEqual((hot["ns"], hot["id"], hot["atLeast"], hot["atMost"]), ("shop.hot", "7", times, times))
        self.assertEqual((fields["field"], fields["atLeast"]), ("n", times))
        other = found["hotDocuments"][1]
        self.assertEqual(other["atLeast"], 1)
        self.assertGreater(other["atMost"], 1)
        self.assertLess(other["atMost"], found["total"]["operations"] / 1000)
        self.assertEqual(found["series"][0]["ns"], "shop.hot")
        self.assertEqual(sum(found["series"][0]["operations"]), times)
        self.assertIsNone(found["series"][-1]["ns"])
        self.assertEqual(sum(sum(s["operations"]) for s in found["series"]), found["total"]["operations"])
        self.assertIn(" 1 to ", self.good("stats", "--hot", "many.bson").decode())
        self.good("stats", "--html", "many.html", "many.bson")
        self.assertIn("There are more than 1,024 namespaces", (self.dir / "many.html").read_text())

    def test_updates_that_nobody_understands_are_counted_as_such(self):
        self.write("odd.bson", update("shop.a", 1, {"$v": 3}, 100) + update("shop.a", 1, {"$v": 2, "diff": {"q": {}}}, 101) + update("shop.a", 1, {"$inc": {"a": 1}}, 102))
        self.assertEqual(json.loads(self.good("stats", "--hot", "--json", "odd.bson"))["updates"], {"ofFields": 0, "replacements": 0, "notUnderstood": 3})


class Html(PageTest):
    def test_the_page_needs_nothing_but_itself_and_has_the_json(self):
        for name in CHAINS:
            oplogs = chain(name)
            page = self.page(*oplogs)
            self.assert_self_contained(page)
            self.assertEqual(page.data(), checked("stats", self.good("stats", "--json", "--hot", *oplogs)))

    def test_the_tables_have_the_numbers_for_those_without_scripts(self):
        page = self.page(*chain("crud"))
        text, data = "".join(page.text), page.data()
        for number in (data["entries"], data["total"]["operations"], data["namespaces"][0]["updates"]):
            self.assertIn(f"{number:,}", text)
        for word in (data["hotDocuments"][0]["id"], data["hotFields"][0]["field"], data["largest"][0]["ts"], data["periods"][-1]["time"], data["files"][1]["file"],
                     "How long the oplog lasts", "(replaced as a whole)", "yes, begins with its last entry"):
            self.assertIn(word, text)
        self.assertEqual(sum(tag == "caption" for tag, _ in page.elements), sum(tag == "table" for tag, _ in page.elements))

    def test_names_cannot_break_out(self):
        self.write("evil.bson", b"".join(operation("i", ns, {"_id": ns}, 100 + n) + update(ns, ns, {"$v": 1, "$set": {ns.replace(".", "_"): 1}}, 100 + n, 2)
                                         for n, ns in enumerate(EVIL)) + operation("c", "admin.$cmd", {"<img>": 1}, 200))
        self.write("</script><i>.bson", entry(300))
        page = self.page("evil.bson", "</script><i>.bson")
        self.assert_self_contained(page)
        self.assertEqual(page.data(), json.loads(self.good("stats", "--json", "--hot", "evil.bson", "</script><i>.bson")))
        self.assertLessEqual(set(EVIL), {n["ns"] for n in page.data()["namespaces"]})
        text = "".join(page.text)
        for shown in (EVIL[0], EVIL[1], EVIL[2], "a.\\u202egnp.exe", "shop.\\x1b[31m"):
            self.assertIn(shown, text)
        for raw in ("\u202e", "\x1b"):
            self.assertNotIn(raw, text)
        self.assertNotRegex(page.scripts[0], "[<>&\u2028\u2029]")

    def test_an_empty_oplog_and_one_entry_have_pages(self):
        self.write("empty.bson", b"")
        page = self.page("empty.bson")
        self.assert_self_contained(page)
        self.assertIn("No entries.", "".join(page.text))
        self.write("one.bson", entry(100))
        self.assert_self_contained(self.page("one.bson"))
        self.assert_self_contained(self.page("--top", "0", "one.bson"))

    def test_gaps_between_files_are_told(self):
        self.write("a.bson", entry(100) + entry(110))
        self.write("b.bson", entry(170) + entry(180))
        self.write("c.bson", entry(175))
        text = "".join(self.page("b.bson", "c.bson", "a.bson").text)
        self.assertIn("perhaps not: no entry in common, 1 min 0 s between", text)
        self.assertIn("overlaps it", text)

    def test_the_page_is_written_whole_or_not_at_all(self):
        self.write("in.bson", entry(100))
        self.write("bad.bson", entry(100) + b"\x05\0\0\0\1")
        self.fails(1, "{}: bad.bson: offset 84: document 2: the document does not end with a zero byte\n", "stats", "--html", "page.html", "bad.bson")
        self.assertEqual(self.files(), ["bad.bson", "in.bson"])
        self.good("stats", "--html", "page.html", "in.bson")
        before = self.read("page.html")
        self.fails(2, "{}: page.html: File exists\nhint: --force replaces it\n", "stats", "--html", "page.html", "in.bson")
        self.fails(1, "{}: bad.bson: offset 84: document 2: the document does not end with a zero byte\n", "stats", "-f", "--html", "page.html", "bad.bson")
        self.assertEqual(self.read("page.html"), before)
        self.good("stats", "-f", "--html", "page.html", "--to", "99", "in.bson")
        self.assertNotEqual(self.read("page.html"), before)
        self.assertEqual(self.files(), ["bad.bson", "in.bson", "page.html"])

    def test_the_page_goes_to_stdout_or_is_compressed_like_other_outputs(self):
        self.write("in.bson", entry(100))
        text = self.good("stats", "--html", "-", "in.bson")
        self.good("stats", "--html", "page.html.gz", "in.bson")
        self.assertEqual(self.shell("zcat page.html.gz")[1], text)
        self.good("stats", "--html", "page.html", "in.bson")
        self.assertEqual(self.read("page.html"), text)

    def test_usage(self):
        self.write("in.bson", entry(100))
        for option in ("--json", "--csv"):
            self.usage("--html goes with neither --json nor --csv", "stats", "--html", "page.html", option, "in.bson")
        self.usage("--hot does not go with --csv", "stats", "--hot", "--csv", "in.bson")
        self.usage("the output in.bson is an input", "stats", "-f", "--html", "in.bson", "in.bson")
        self.assertEqual(self.files(), ["in.bson"])


if __name__ == "__main__":
    unittest.main()
