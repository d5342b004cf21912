//! Where the readers differ, and why we do as we do: the table of `docs/tar.md`, in code.
//!
//! A rule explains one field of one tool's answer for archives that hold one of its traits. What no
//! rule explains fails the test.

use std::collections::BTreeSet;

use crate::differential::generator::Trait;
use crate::differential::readers::Tool;

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The tool ended with an error, so what it left is not compared.
    Failed,
    /// Anything about the root directory.
    Root,
    /// Only we have it.
    Missing,
    /// Only the tool has it.
    Extra,
    Kind,
    Mode,
    Owner,
    Mtime,
    Content,
    Xattrs,
    /// Which names are one file.
    Names,
}

/// Why a tool's answer may be another one.
pub struct Rule {
    /// As in the table.
    pub name: &'static str,
    pub tools: &'static [Tool],
    pub traits: &'static [Trait],
    pub fields: &'static [Field],
}

pub const RULES: &[Rule] = &[
    Rule {
        name: "bsd-keeps-link-to-directory",
        tools: &[Tool::Bsd],
        traits: &["symlink-then-directory"],
        // what is put into it is elsewhere then, perhaps over something that lies there
        fields: &[
            Field::Kind,
            Field::Extra,
            Field::Missing,
            Field::Names,
            Field::Mtime,
            Field::Mode,
            Field::Owner,
            Field::Content,
            Field::Xattrs,
        ],
    },
    Rule {
        name: "bsd-libarchive-xattr",
        tools: &[Tool::Bsd],
        traits: &["xattr-libarchive"],
        fields: &[Field::Xattrs],
    },
    Rule {
        name: "bsd-linkpath-without-link",
        tools: &[Tool::Bsd],
        traits: &["linkpath-only-in-pax"],
        fields: &[Field::Names, Field::Content, Field::Kind],
    },
    Rule {
        name: "bsd-names-not-utf8",
        tools: &[Tool::Bsd],
        traits: &["not-utf8", "pax-charset"],
        fields: &[Field::Failed],
    },
    Rule {
        name: "bsd-negative-fraction",
        tools: &[Tool::Bsd],
        traits: &["pax-time-negative-fraction"],
        fields: &[Field::Mtime],
    },
    Rule {
        name: "bsd-root-time",
        tools: &[Tool::Bsd],
        traits: &["root-entry"],
        fields: &[Field::Root],
    },
    Rule {
        name: "directory-twice",
        tools: &[Tool::Gnu, Tool::Bsd],
        traits: &["directory-twice"],
        fields: &[Field::Mode, Field::Mtime, Field::Owner, Field::Root],
    },
    Rule {
        name: "full-directory-replaced",
        tools: &[Tool::Gnu, Tool::Bsd],
        traits: &["directory-with-content"],
        fields: &[Field::Failed],
    },
    Rule {
        name: "end-cut-in-padding",
        tools: &[Tool::Gnu, Tool::Bsd],
        traits: &["end-padding-cut"],
        fields: &[Field::Failed],
    },
    Rule {
        name: "end-mark-cut",
        tools: &[Tool::Gnu, Tool::Bsd, Tool::Umoci],
        traits: &["end-mark-cut"],
        fields: &[Field::Failed],
    },
    Rule {
        name: "go-prefix",
        tools: &[Tool::Gnu, Tool::Bsd],
        traits: &["go-prefix"],
        fields: &[Field::Extra, Field::Missing],
    },
    Rule {
        name: "gnu-empty-archive",
        tools: &[Tool::Gnu],
        traits: &["no-entries"],
        fields: &[Field::Failed],
    },
    Rule {
        name: "gnu-late-links",
        tools: &[Tool::Gnu],
        traits: &["symlink-parent-absolute", "symlink-parent-climbs"],
        fields: &[Field::Failed],
    },
    Rule {
        name: "gnu-late-links-change-times",
        tools: &[Tool::Gnu],
        traits: &["symlink-absolute", "symlink-climbs", "symlink-then-directory"],
        fields: &[Field::Mtime],
    },
    Rule {
        name: "gnu-late-directories",
        tools: &[Tool::Gnu],
        traits: &["directory-then-other"],
        fields: &[Field::Failed, Field::Mode, Field::Mtime, Field::Owner],
    },
    Rule {
        name: "umoci-far-times",
        tools: &[Tool::Umoci],
        traits: &["time-far"],
        fields: &[Field::Mtime],
    },
    Rule {
        name: "umoci-root-time",
        tools: &[Tool::Umoci],
        traits: &["root-entry"],
        fields: &[Field::Root],
    },
    Rule {
        name: "umoci-types",
        tools: &[Tool::Umoci],
        traits: &["global-comment", "sparse-gnu", "sparse-gnu-extended", "type-contiguous"],
        fields: &[Field::Failed],
    },
    Rule {
        name: "whiteouts-as-files",
        tools: &[Tool::Gnu, Tool::Bsd],
        traits: &["whiteout"],
        fields: &[Field::Extra],
    },
];

/// What an archive with one of these is never read for.
pub const REFUSED: &[Trait] = &[
    "below-a-file",
    "checksum-wrong",
    "climbs",
    "device-too-big",
    "directory-with-size",
    "end-cut",
    "global-mtime",
    "global-path",
    "global-uid",
    "go-prefix-or-times",
    "gnu-and-pax-name",
    "hard-link-climbs",
    "hard-link-directory",
    "hard-link-later",
    "hard-link-missing",
    "hard-link-self",
    "hard-link-with-size",
    "lone-zero-block",
    "name-too-long",
    "owner-negative",
    "owner-too-big",
    "pax-broken",
    "pax-broken-number",
    "pax-empty-value",
    "pax-leading-zero",
    "pax-path-nul",
    "pax-size-differs",
    "root-replaced",
    "size-huge",
    "size-negative",
    "sparse-broken",
    "special-with-size",
    "symlink-empty",
    "symlink-with-size",
    "two-long-names",
    "two-pax-headers",
    "type-odd",
];

/// The rule that explains a difference.
pub fn explains(tool: Tool, traits: &BTreeSet<Trait>, field: Field) -> Option<&'static Rule> {
    RULES.iter().find(|rule| {
        rule.tools.contains(&tool)
            && rule.fields.contains(&field)
            && rule.traits.iter().any(|name| traits.contains(name))
    })
}
