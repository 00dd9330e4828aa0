"""What the programs that judge the documentation find: `python3 test_docs.py`."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Literate(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name, "folder")
        self.folder.mkdir()
        self.page = Path(scratch.name, "page.md")

    def run_page(self, *lines):
        self.page.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [sys.executable, str(HERE / "literate.py"), str(self.page), str(self.folder)]
        return subprocess.run(command, input="typed", capture_output=True, text=True, timeout=60, check=False)

    def passes(self, *lines):
        result = self.run_page(*lines)
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        return result.stdout

    def fails(self, line, what, *lines):
        """The page fails, at that line of it and with that text. Returns all that is said."""
        result = self.run_page(*lines)
        self.assertEqual(result.returncode, 1)
        place, _, text = result.stderr.partition(": ")
        self.assertEqual(place, f"{self.page}:{line}")
        self.assertIn(what, text)
        return text

    # ---- What runs ----

    def test_a_file_is_written_and_a_later_one_of_its_name_replaces_it_in_its_turn(self):
        page = ["```c sub/a.c", "one", "```", "```sh", "cat sub/a.c", "```", "```text", "one", "```"]
        page += [line.replace("one", "two") for line in page]
        self.assertEqual(self.passes(*page), "2 files, 2 command blocks\n")
        self.assertEqual((self.folder / "sub/a.c").read_text(), "two\n")

    def test_one_bash_runs_all_blocks_in_the_folder(self):
        self.passes("```sh", "mkdir a", "cd a", "export B=1 c=2", "```", "Text.",
                    "```sh", 'echo "${PWD##*/} $B $c"', "```", "```text", "a 1 2", "```")

    def test_files_go_to_the_folder_whatever_the_commands_changed_to(self):
        self.passes("```sh", "mkdir a", "cd a", "```", "```json a.json", "{}", "```", "```sh", "cat ../a.json", "```",
                    "```text", "{}", "```")

    def test_text_may_stand_between_a_block_and_what_it_prints(self):
        self.passes("```sh", "echo a", "```", "", "It prints", "", "```text", "a", "```")

    def test_what_is_not_told_is_not_compared(self):
        self.passes("```sh", "echo anything", "```")

    def test_the_standard_error_is_not_compared(self):
        self.passes("```sh", "echo a; echo b >&2", "```", "```text", "a", "```")

    def test_the_commands_have_no_input(self):
        self.passes("```sh", "cat", "echo end", "```", "```text", "end", "```")

    def test_what_the_commands_start_ends_with_them(self):
        self.passes("```sh", "sleep 300 &", "echo $! >pid", "```")
        pid = (self.folder / "pid").read_text().strip()
        state = Path(f"/proc/{pid}/stat")
        self.assertTrue(not state.exists() or ") Z " in state.read_text())

    # ---- What the page promises of an output ----

    def prints(self, printed, *expected):
        return ["```sh", f"printf '{printed}'", "```", "```text", *expected, "```"]

    def test_an_ellipsis_stands_for_anything_within_a_line(self):
        self.passes(*self.prints("key_1a2b 200\\n", "key_… 200"))
        self.passes(*self.prints("key_ 200\\n", "key_… 200"))
        self.fails(1, "prints something else", *self.prints("key_1\\n 200\\n", "key_… 200"))

    def test_a_line_of_an_ellipsis_stands_for_any_lines(self):
        for printed in ("a\\nz\\n", "a\\nb\\nz\\n", "a\\nb\\nc\\nz\\n"):
            self.passes(*self.prints(printed, "a", "…", "z"))
        self.fails(1, "prints something else", *self.prints("a\\nb\\n", "a", "…", "z"))

    def test_all_else_is_meant_as_it_is(self):
        self.passes(*self.prints("a.c [x] (y)* \\\\d\\n", "a.c [x] (y)* \\d"))
        self.fails(1, "prints something else", *self.prints("abc\\n", "a.c"))
        self.fails(1, "prints something else", *self.prints(" a\\n", "a"))

    def test_nothing_expected_is_nothing_printed(self):
        self.passes(*self.prints(""))
        self.fails(1, "prints something else", *self.prints("a\\n"))
        self.fails(1, "prints something else", *self.prints("", "a"))

    def test_a_carriage_return_or_a_missing_line_feed_at_the_end_cannot_be_seen(self):
        self.passes(*self.prints("HTTP/1.1 200\\r\\n\\r\\nbody", "HTTP/1.1 200", "", "body"))

    def test_a_wrong_output_is_shown_as_a_difference(self):
        text = self.fails(1, "prints something else", *self.prints("same 1\\nold\\n", "same …", "new"))
        self.assertIn("\n same …\n-new\n+old\n", text)

    def test_too_much_or_too_little_output_is_wrong(self):
        self.fails(1, "+b", *self.prints("a\\nb\\n", "a"))
        self.fails(1, "-b", *self.prints("a\\n", "a", "b"))

    # ---- What fails ----

    def test_a_command_that_fails_is_shown_with_its_line_and_output(self):
        text = self.fails(4, "with status 2", "# A page", "```sh", "echo before", "ls /nowhere/at/all | cat", "```",
                          "```sh", "touch later", "```")
        self.assertIn("before", text)
        self.assertIn("/nowhere/at/all", text)
        self.assertFalse((self.folder / "later").exists())

    def test_a_variable_that_is_not_set_fails(self):
        self.fails(3, "NOT_SET", "```sh", "true", 'echo "$NOT_SET"', "```")

    def test_a_wrong_output_is_found_before_a_later_failure(self):
        self.fails(1, "prints something else", *self.prints("a\\n", "b"), "```sh", "false", "```")

    def test_an_early_end_fails_even_with_status_0(self):
        self.fails(4, "with status 0", "```sh", "true", "```", "```sh", "exit 0", "```", "```sh", "false", "```")

    def test_an_open_quote_or_heredoc_fails(self):
        self.fails(2, "ends here", "```sh", "echo 'a", "```", "```sh", "true", "```")
        self.fails(6, "here-document", "```sh", "cat <<END", "```", "```sh", "true", "```")

    def test_an_unknown_kind_of_block_fails(self):
        self.fails(2, "a go block without the name of its file", "# A page", "```go", "```")
        self.fails(1, "a fence that is not", "```", "```")
        self.fails(1, "a fence that is not", "```rust,no_run a.rs", "```")
        self.fails(1, "a fence that is not", "```c a.c and more", "```")
        self.fails(1, "a fence that is not", "~~~sh", "~~~")
        self.fails(2, "a fence that is not", "- An item", "  ```sh", "  true", "  ```")

    def test_a_block_that_is_not_closed_fails(self):
        self.fails(3, "no closing fence", "# A page", "", "```sh", "true")
        self.fails(4, "a fence inside of the block of line 2", "# A page", "```sh", "true", "```text", "```")

    def test_an_output_without_commands_fails(self):
        self.fails(1, "follows no sh block", "```text", "a", "```")
        self.fails(4, "follows no sh block", "```c a.c", "", "```", "```text", "a", "```")
        self.fails(6, "follows no sh block", "```sh", "true", "```", "```text", "```", "```text", "```")

    def test_a_page_without_blocks_fails(self):
        self.fails(1, "no block", "# A page", "with `code` alone")

    def test_a_page_that_is_not_there_or_is_not_utf_8_fails(self):
        self.page.write_bytes(b"\xff")
        for page, what in ((self.page, "codec"), (self.folder / "gone.md", "No such file")):
            command = [sys.executable, str(HERE / "literate.py"), str(page), str(self.folder)]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertTrue(result.stderr.startswith(f"{page}: ") and what in result.stderr, result.stderr)

    def test_a_file_elsewhere_fails(self):
        self.fails(1, "not below", "```c ../a.c", "```")
        self.fails(1, "not below", "```c /tmp/a.c", "```")


class Links(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.write("README.md", "# The title", "", "## A `b` (c), d's", "", "## Twice", "", "## Twice")

    def write(self, path, *lines):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def check(self, *lines):
        """What is said of a page docs/page.md."""
        self.write("docs/page.md", *lines)
        command = [sys.executable, str(HERE / "links.py"), str(self.root)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return result.stdout.strip() if result.returncode == 0 else result.stderr.strip()

    def test_files_and_headings_are_found(self):
        page = ["# Here", "[a](../README.md), [b](#here), [c](../docs)", "[`d`](../README.md#a-b-c-ds)",
                "[e](../README.md#twice-1)", "", "[ref]: ../README.md#the-title"]
        self.assertEqual(self.check(*page), "6 links")

    def test_a_missing_file_is_told_with_its_place(self):
        self.assertEqual(self.check("", "[a](gone.md)"), "docs/page.md:2: gone.md: there is no such file")

    def test_a_missing_heading_is_told(self):
        for link in ("#gone", "../README.md#Twice", "../README.md#twice-2"):
            self.assertEqual(self.check(f"[a]({link})"), f"docs/page.md:1: {link}: there is no such heading")

    def test_a_reference_and_an_image_are_links_too(self):
        self.assertIn("page.md:1: gone: there", self.check("[a]: gone"))
        self.assertIn("page.md:1: gone.png: there", self.check("![a](gone.png)"))

    def test_a_link_around_an_image_is_one_too(self):
        self.assertIn("gone: there", self.check("[![a](../README.md)](gone)"))
        self.assertIn("gone.png: there", self.check("[![a](gone.png)](../README.md)"))

    def test_a_link_that_leaves_the_repository_is_wrong(self):
        self.assertIn("outside of the repository", self.check("[a](../../other.md)"))

    def test_code_and_the_web_are_not_asked(self):
        self.assertEqual(self.check("```sh", "[a](gone)", "# not-a-heading", "```", "`[a](gone)`",
                                    "[a](https://example.org/gone)", "[a](mailto:a@example.org)"), "0 links")

    def test_a_heading_in_a_block_is_none(self):
        self.assertIn("no such heading", self.check("```sh", "# a", "```", "[a](#a)"))


class Names(unittest.TestCase):
    def check(self, page, sources):
        """What is said of a docs/keys.md, with sources that define the functions that they name."""
        with tempfile.TemporaryDirectory() as folder:
            files = {"docs/keys.md": page, "src/lib.rs": "    pub fn {}(&self)",
                     "src/registry/edit.rs": "    pub fn {}(&self)", "include/bpos.hpp": "    void {}();",
                     "bindings/go/keys.go": "func (r *Registry) {}() error",
                     "bindings/python/src/bpos/_registry.py": "    def {}(self):", "tests/c/symbols.txt": "{}"}
            for path, text in files.items():
                file = Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                names = sources.get(path, [])
                file.write_text("\n".join(text.format(name) for name in names) if names else text, encoding="utf-8")
            command = [sys.executable, str(HERE / "names.py"), folder]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            return result.stdout.strip() if result.returncode == 0 else result.stderr.strip()

    ALL = {"src/lib.rs": ["end"], "src/registry/edit.rs": ["edit"], "include/bpos.hpp": ["end", "edit"],
           "bindings/go/keys.go": ["End", "Edit"], "bindings/python/src/bpos/_registry.py": ["end", "edit"], "tests/c/symbols.txt": ["bpos_end"]}
    PAGE = "\n## The life of a key\n\n| | Rust | C | command |\n|---|---|---|---|\n" \
        "| ended | `end` | `bpos_end` | `bpos end` |\n| several | `edit` | | |\n\n## More\n\n| | `other` | | |\n"

    def test_what_every_language_has_is_counted(self):
        self.assertEqual(self.check(self.PAGE, self.ALL), "9 names")

    def test_what_a_language_lacks_is_told(self):
        for path, language in (("src/registry/edit.rs", "Rust"), ("include/bpos.hpp", "C++"),
                               ("bindings/python/src/bpos/_registry.py", "Python")):
            self.assertEqual(self.check(self.PAGE, {**self.ALL, path: ["end", "edited"]}), f"{language} has no edit")
        self.assertEqual(self.check(self.PAGE, {**self.ALL, "bindings/go/keys.go": ["End", "edit"]}), "Go has no Edit")
        self.assertEqual(self.check(self.PAGE, {**self.ALL, "tests/c/symbols.txt": ["bpos_ends"]}), "C has no bpos_end")

    def test_a_table_that_is_gone_is_told(self):
        self.assertIn("no table", self.check("## The decision", self.ALL))


class Threats(unittest.TestCase):
    HEAD = ["# Threats", "", "| threat | defence | tests | gap |", "|---|---|---|---|"]

    def check(self, *rows):
        """What is said of a docs/threats.md with these rows, with sources that define a test in each language."""
        with tempfile.TemporaryDirectory() as folder:
            sources = {"docs/threats.md": "\n".join(rows), "tests/a.rs": "fn a_key_is_denied() {", "tests/c/a.c":
                       "static void check_wrong_members(void) {", "bindings/go/a_test.go": "func TestAKey(t *testing.T) {",
                       "src/key/mod.rs": "    fn what_is_masked_stays_masked(text: &str) {", "bindings/a.py":
                       "def test_a_key_is_denied(self):", "target/a.rs": "fn what_was_built_is_no_test() {"}
            for path, text in sources.items():
                file = Path(folder, path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text + "\n", encoding="utf-8")
            command = [sys.executable, str(HERE / "threats.py"), folder]
            result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            return result.stdout.strip() if result.returncode == 0 else result.stderr.strip()

    def test_a_test_of_each_language_is_found(self):
        names = ["a_key_is_denied", "check_wrong_members", "TestAKey", "what_is_masked_stays_masked", "test_a_key_is_denied"]
        row = "| a | b | `tests/a.rs`: " + ", ".join(f"`{name}`" for name in names) + " | `a_gap_names_no_test` |"
        self.assertEqual(self.check(*self.HEAD, row), "5 names")

    def test_a_test_that_is_gone_is_told(self):
        for name in ("a_key_is_admitted", "check_wrong", "TestAKeys", "what_was_built_is_no_test"):
            row = f"| a | b | `tests/a.rs`: `a_key_is_denied`, `{name}` | |"
            self.assertEqual(self.check(*self.HEAD, row), f"there is no test {name}")

    def test_a_table_of_another_form_is_told(self):
        self.assertIn("no table", self.check("# Threats"))
        self.assertIn("not 4 columns: a", self.check(*self.HEAD, "| a | b | `a_key_is_denied` |"))
        self.assertIn("names no tests", self.check(*self.HEAD, "| a | b | | |"))


if __name__ == "__main__":
    unittest.main()
