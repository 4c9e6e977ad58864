//! Languages by their names in fences, and by what their code looks like.

/// A language.
pub(super) struct Language {
    pub(super) name: &'static str,
    /// Other names in fences.
    also: &'static [&'static str],
    /// Whether it is code; the others are forms of data and words, and count only where a policy names them.
    pub(super) is_code: bool,
    /// What its code has and others' has not: two of these tell it.
    signs: &'static [&'static str],
}

const fn code(name: &'static str, also: &'static [&'static str], signs: &'static [&'static str]) -> Language {
    Language { name, also, is_code: true, signs }
}

const fn data(name: &'static str, also: &'static [&'static str]) -> Language {
    Language { name, also, is_code: false, signs: &[] }
}

/// The languages that are known.
pub(super) const LANGUAGES: &[Language] = &[
    code(
        "assembly",
        &["asm", "nasm", "x86asm", "s"],
        &["mov ", "push ", "section .", "int 0x", "ret\n", "jmp "],
    ),
    code("c", &["h"], &["#include <", "int main(", "printf(", "malloc(", "char *", "sizeof(", "struct "]),
    code("clojure", &["clj"], &["(defn ", "(ns ", "(let ["]),
    code(
        "cpp",
        &["c++", "cxx", "cc", "hpp"],
        &["#include <", "std::", "cout <<", "using namespace", "template<", "template <", "::iterator"],
    ),
    code(
        "csharp",
        &["c#", "cs"],
        &["using System", "namespace ", "Console.Write", "public class ", "string[] args", "async Task"],
    ),
    code("css", &["scss", "less", "sass"], &["color:", "margin:", "padding:", "display:", "font-", "@media"]),
    code("dart", &[], &["void main()", "import 'package:", "Widget build"]),
    code("dockerfile", &["docker"], &["FROM ", "RUN ", "COPY ", "ENTRYPOINT ", "WORKDIR "]),
    code("elixir", &["ex", "exs"], &["defmodule ", "|> ", " do\n", "@spec "]),
    code("erlang", &["erl"], &["-module(", "-export(", "-> "]),
    code("go", &["golang"], &["package main", "func ", ":= ", "fmt.", "import (", "go func", "chan "]),
    code("haskell", &["hs"], &[" :: ", "import qualified", " <- ", "module "]),
    code(
        "html",
        &["xhtml", "htm", "vue", "svelte"],
        &["<html", "<div", "<body", "</div>", "<script", "<!DOCTYPE", "</p>", "<a href"],
    ),
    code(
        "java",
        &[],
        &[
            "public static void main",
            "System.out.",
            "import java",
            "public class ",
            "private final",
            "@Override",
        ],
    ),
    code(
        "javascript",
        &["js", "jsx", "node", "mjs"],
        &[
            "const ",
            "let ",
            "=> ",
            "console.log(",
            "function ",
            "require(",
            "document.",
            "async function",
            "export default",
        ],
    ),
    code("kotlin", &["kt", "kts"], &["fun main", "val ", "println(", "data class", "override fun"]),
    code("latex", &["tex"], &["\\begin{", "\\documentclass", "\\usepackage"]),
    code("lisp", &["cl", "scheme", "elisp", "racket"], &["(defun ", "(define ", "(setq ", "(lambda "]),
    code("lua", &[], &["local ", " then\n", "function ", "end\n", "nil"]),
    code("matlab", &["octave"], &["zeros(", "disp(", "end;", "plot("]),
    code(
        "objective-c",
        &["objc", "objectivec", "m"],
        &["@interface", "@implementation", "NSString", "#import"],
    ),
    code("perl", &["pl"], &["use strict", "my $", "my @", "$_", "=~ "]),
    code("php", &[], &["<?php", "$this->", "echo $", "function ", "->", "array("]),
    code(
        "powershell",
        &["ps", "ps1", "pwsh"],
        &["Get-", "Set-", "Write-Host", "$_.", "New-Object", "Invoke-", "-ErrorAction", "param("],
    ),
    code(
        "python",
        &["py", "py3", "python3", "ipython", "pycon"],
        &[
            "def ",
            "import ",
            "print(",
            "self.",
            "elif ",
            "from ",
            "__init__",
            "    return",
            "lambda ",
            "for ",
        ],
    ),
    code("r", &["rscript"], &["<- ", "library(", "data.frame(", "ggplot("]),
    code("ruby", &["rb"], &["def ", "puts ", "end\n", "require '", "attr_accessor", ".each do", "nil?"]),
    code(
        "rust",
        &["rs"],
        &["fn main", "let mut ", "println!(", "impl ", "pub fn", "-> Result", "use std::", "match "],
    ),
    code("scala", &[], &["object ", "def ", "val ", "extends App", "case class"]),
    code(
        "shell",
        &["sh", "bash", "zsh", "fish", "console", "shell-session", "terminal", "bat", "cmd", "batch"],
        &[
            "#!/bin/", "sudo ", "echo ", "apt-get ", "curl ", "chmod ", "export ", "grep ", "| ", "rm -",
            "cd ", "mkdir ", "$(",
        ],
    ),
    code("solidity", &["sol"], &["pragma solidity", "contract ", "msg.sender", "uint256"]),
    code(
        "sql",
        &["mysql", "postgresql", "postgres", "plsql", "tsql", "sqlite"],
        &[
            "SELECT ",
            "FROM ",
            "WHERE ",
            "INSERT INTO",
            "CREATE TABLE",
            "UPDATE ",
            "JOIN ",
            "GROUP BY",
            "DROP TABLE",
            "DELETE FROM",
        ],
    ),
    code("swift", &[], &["import SwiftUI", "func ", "let ", "var body", "guard let", "print("]),
    code("terraform", &["hcl", "tf"], &["resource \"", "provider \"", "variable \""]),
    code("typescript", &["ts", "tsx"], &["interface ", ": string", ": number", "const ", "export ", "=> "]),
    code("vba", &["vb", "vbnet", "vbscript", "visual-basic"], &["Sub ", "End Sub", "Dim ", "End If"]),
    code("zig", &[], &["const std", "pub fn", "@import("]),
    data("csv", &["tsv"]),
    data("diff", &["patch"]),
    data("graphql", &["gql"]),
    data("ini", &["conf", "cfg", "properties", "env", "dotenv"]),
    data("json", &["json5", "jsonc", "jsonl", "ndjson"]),
    data("log", &["logs", "output", "out"]),
    data("markdown", &["md", "mdx"]),
    data("mermaid", &["plantuml", "dot", "graphviz"]),
    data("protobuf", &["proto"]),
    data("regex", &["regexp"]),
    data("text", &["txt", "plain", "plaintext", "none", "nohighlight", "ascii"]),
    data("toml", &[]),
    data("xml", &["svg", "xsd", "rss"]),
    data("yaml", &["yml"]),
];

/// The number of a language by one of its names, whatever their case.
pub(super) fn known(name: &str) -> Option<usize> {
    let name = name.trim_start_matches('.').to_lowercase();
    LANGUAGES.iter().position(|language| language.name == name || language.also.contains(&name.as_str()))
}

/// The language that code seems to be in: the one most of whose signs it has, two at least.
pub(super) fn guess(text: &str) -> Option<usize> {
    let padded = format!("{text}\n");
    let signs = |language: &Language| language.signs.iter().filter(|sign| padded.contains(*sign)).count();
    let most = LANGUAGES.iter().enumerate().map(|(number, language)| (signs(language), number));
    // Of two that tie the one with fewer signs in all has the larger share.
    let (count, number) = most.max_by_key(|(count, number)| {
        (*count, usize::MAX - LANGUAGES.get(*number).map_or(0, |language| language.signs.len()))
    })?;
    (count >= 2).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_name_means_one_language() {
        let mut seen = HashSet::new();
        for language in LANGUAGES {
            for name in language.also.iter().chain([&language.name]) {
                assert!(seen.insert(*name), "{name} stands twice");
                assert_eq!(*name, name.to_lowercase());
            }
        }
        assert!(LANGUAGES.len() > 40 && known("Py3") == known("python") && known("klingon").is_none());
    }

    #[test]
    fn code_without_a_name_is_told_by_its_signs() {
        for (text, want) in [
            ("def f(x):\n    return x\nprint(f(1))", Some("python")),
            ("const f = (x) => x;\nconsole.log(f(1));", Some("javascript")),
            ("#include <stdio.h>\nint main() { printf(\"hi\"); }", Some("c")),
            ("#include <vector>\nstd::vector<int> v; std::cout << v[0];", Some("cpp")),
            ("SELECT name FROM users WHERE id = 1", Some("sql")),
            ("sudo apt-get update\ncurl -s x | sh", Some("shell")),
            ("fn main() {\n    let mut x = 1;\n    println!(\"{x}\");\n}", Some("rust")),
            ("package main\nfunc main() { fmt.Println(1) }", Some("go")),
            ("Get-ChildItem | Where-Object { $_.Length }\nWrite-Host x", Some("powershell")),
            ("<div><a href=\"x\">y</a></div>", Some("html")),
            ("Dear Ann, thank you for the book.", None),
            ("1, 2, 3", None),
        ] {
            let told = guess(text).and_then(|number| LANGUAGES.get(number)).map(|language| language.name);
            assert_eq!(told, want, "{text}");
        }
    }
}
