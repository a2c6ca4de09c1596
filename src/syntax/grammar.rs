//! The table of languages: one row each, in the terms of its tree-sitter grammar.

use super::language::Language;

/// Makes the parser's tables; a function since they can't be made in a constant.
pub(super) type Parser = fn() -> tree_sitter::Language;

/// Settings of one language. Lists hold node kinds of the grammar unless said otherwise.
pub(super) struct Grammar {
    pub language: Language,
    /// As people write it.
    pub name: &'static str,
    /// Info tags of code fences and names of interpreters, in lower case.
    pub tags: &'static [&'static str],
    /// Without the dot, in lower case.
    pub extensions: &'static [&'static str],
    /// Whole names of files that have no extension to tell the language.
    pub file_names: &'static [&'static str],
    /// Starts a comment that ends with the line.
    pub line_comment: &'static str,
    pub parser: Parser,
    /// For a source without the marker, this parser instead.
    pub fragment: Option<(&'static str, Parser)>,
    pub comments: &'static [&'static str],
    /// Siblings that belong to the definition after them.
    pub attributes: &'static [&'static str],
    /// Siblings that belong to the statement before them.
    pub continuations: &'static [&'static str],
    /// Imports, and what else may only stand at the top.
    pub imports: &'static [&'static str],
    /// A statement that starts with one of these words is an import.
    pub import_words: &'static [&'static str],
    /// Constants and simple declarations.
    pub constants: &'static [&'static str],
    /// A function where it has a body, a declaration where not.
    pub functions: &'static [&'static str],
    /// A function only where its body is long; a value where not. One that is a body kind too is its own body.
    pub closures: &'static [&'static str],
    /// A function of one of these kinds, or named through one, is a method wherever it stands.
    pub methods: &'static [&'static str],
    /// Classes and the like: they hold methods and fields. One that is a constant too is a field in a type.
    pub types: &'static [&'static str],
    /// Types that are only mentioned, not defined, where they have no body.
    pub mentions: &'static [&'static str],
    /// Namespaces and the like: they are split as the top level is. Nothing special where they hold no definition.
    pub scopes: &'static [&'static str],
    /// Wrappers of a definition: exports, decorators, assignments.
    pub wrappers: &'static [&'static str],
    /// Nodes that may hold a definition's members or statements, besides its field `body`.
    pub bodies: &'static [&'static str],
    /// Kinds whose children take their place.
    pub flattened: &'static [&'static str],
    /// Fields that lead from a definition to its name, the first that is there.
    pub names: &'static [&'static str],
    /// Kinds whose first named child leads to the name.
    pub named_by_child: &'static [&'static str],
    /// Kinds without a name, whatever their fields say.
    pub nameless: &'static [&'static str],
    /// A first statement of this kind in a body is documentation.
    pub docstring: Option<&'static str>,
}

/// Tokens that close a body.
pub(super) const CLOSERS: [&str; 6] = ["}", "end", ")", "]", "#endif", "end_marker"];

/// Tokens that may be missing in clean code, since they move no boundary. (`extern "C" {` in an `#ifdef` of its own lacks
/// its `#endif` to the parser.)
pub(super) const OPTIONAL: [&str; 2] = [";", "#endif"];

/// Holds a callback: the name of the call around it is not its own.
pub(super) const ARGUMENTS: &str = "arguments";

/// The row of `language`.
pub(super) fn row(language: Language) -> &'static Grammar {
    &TABLE[language as usize]
}

const BASE: Grammar = Grammar {
    language: Language::C,
    name: "",
    tags: &[],
    extensions: &[],
    file_names: &[],
    line_comment: "//",
    parser: || tree_sitter_c::LANGUAGE.into(),
    fragment: None,
    comments: &["comment"],
    attributes: &[],
    continuations: &[],
    imports: &[],
    import_words: &[],
    constants: &[],
    functions: &[],
    closures: &[],
    methods: &[],
    types: &[],
    mentions: &[],
    scopes: &[],
    wrappers: &[],
    bodies: &[],
    flattened: &[],
    names: &["name"],
    named_by_child: &[],
    nameless: &[],
    docstring: None,
};

const JAVASCRIPT: Grammar = Grammar {
    language: Language::JavaScript,
    name: "JavaScript",
    tags: &["javascript", "js", "jsx", "mjs", "cjs", "node", "ecmascript"],
    extensions: &["js", "jsx", "mjs", "cjs"],
    parser: || tree_sitter_javascript::LANGUAGE.into(),
    comments: &["comment", "html_comment", "hash_bang_line"],
    attributes: &["decorator"],
    imports: &["import_statement", "import_alias"],
    import_words: &["'use", "\"use", "require"],
    constants: &["lexical_declaration", "variable_declaration", "ambient_declaration", "export_clause"],
    functions: &["function_declaration", "generator_function_declaration", "method_definition", "class_static_block"],
    closures: &["arrow_function", "function_expression", "generator_function"],
    types: &[
        "class_declaration", "abstract_class_declaration", "class", "interface_declaration", "enum_declaration",
        "type_alias_declaration",
    ],
    scopes: &["internal_module", "module", "object"],
    wrappers: &[
        "export_statement", "ambient_declaration", "expression_statement", "lexical_declaration",
        "variable_declaration", "variable_declarator", "assignment_expression", "call_expression", "new_expression",
        "await_expression", "arguments", "pair", "field_definition", "public_field_definition",
        "parenthesized_expression", "as_expression", "satisfies_expression",
    ],
    bodies: &["statement_block", "class_body", "interface_body", "enum_body", "object_type"],
    names: &["name", "left", "property", "key"],
    ..BASE
};

const TYPESCRIPT: Grammar = Grammar {
    language: Language::TypeScript,
    name: "TypeScript",
    tags: &["typescript", "ts", "mts", "cts", "ts-node", "deno", "bun"],
    extensions: &["ts", "mts", "cts"],
    parser: || tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
    ..JAVASCRIPT
};

const C: Grammar = Grammar {
    language: Language::C,
    name: "C",
    tags: &["c", "h"],
    extensions: &["c", "h"],
    attributes: &["attribute_declaration"],
    imports: &["preproc_include"],
    constants: &[
        "declaration", "preproc_def", "preproc_function_def", "preproc_call", "preproc_ifdef", "preproc_if",
        "preproc_else", "preproc_elif", "preproc_elifdef", "using_declaration", "namespace_alias_definition",
        "static_assert_declaration", "template_instantiation", "linkage_specification", "alias_declaration",
        "struct_specifier", "union_specifier", "enum_specifier", "class_specifier", "friend_declaration",
    ],
    functions: &["function_definition"],
    types: &["struct_specifier", "union_specifier", "enum_specifier", "type_definition"],
    mentions: &["struct_specifier", "union_specifier", "enum_specifier", "class_specifier"],
    scopes: &[
        "preproc_ifdef", "preproc_if", "preproc_else", "preproc_elif", "preproc_elifdef", "linkage_specification",
    ],
    bodies: &["compound_statement", "field_declaration_list", "enumerator_list", "declaration_list"],
    names: &["declarator", "name"],
    named_by_child: &["parenthesized_declarator", "attributed_declarator"],
    ..BASE
};

/// One row a language, in the order of `Language`.
pub(super) const TABLE: &[Grammar; 16] = &[
    Grammar {
        language: Language::Python,
        name: "Python",
        tags: &["python", "py", "python3", "py3", "pyi", "pypy"],
        extensions: &["py", "pyi", "pyw"],
        file_names: &["SConstruct", "wscript"],
        line_comment: "#",
        parser: || tree_sitter_python::LANGUAGE.into(),
        imports: &["import_statement", "import_from_statement", "future_import_statement"],
        constants: &["assignment", "type_alias_statement", "string"],
        functions: &["function_definition"],
        types: &["class_definition"],
        wrappers: &["decorated_definition"],
        docstring: Some("string"),
        ..BASE
    },
    TYPESCRIPT,
    Grammar {
        language: Language::Tsx,
        name: "TSX",
        tags: &["tsx", "typescriptreact"],
        extensions: &["tsx"],
        parser: || tree_sitter_typescript::LANGUAGE_TSX.into(),
        ..TYPESCRIPT
    },
    JAVASCRIPT,
    Grammar {
        language: Language::Rust,
        name: "Rust",
        tags: &["rust", "rs"],
        extensions: &["rs"],
        parser: || tree_sitter_rust::LANGUAGE.into(),
        comments: &["line_comment", "block_comment"],
        attributes: &["attribute_item"],
        imports: &["use_declaration", "extern_crate_declaration", "inner_attribute_item", "shebang"],
        constants: &["const_item", "static_item", "mod_item", "foreign_mod_item", "let_declaration", "type_item"],
        functions: &["function_item"],
        types: &["impl_item", "trait_item", "struct_item", "enum_item", "union_item", "type_item", "macro_definition"],
        scopes: &["mod_item"],
        bodies: &["declaration_list"],
        names: &["name", "type"],
        ..BASE
    },
    Grammar {
        language: Language::Go,
        name: "Go",
        tags: &["go", "golang"],
        extensions: &["go"],
        parser: || tree_sitter_go::LANGUAGE.into(),
        imports: &["package_clause", "import_declaration"],
        constants: &["const_declaration", "var_declaration"],
        functions: &["function_declaration", "method_declaration"],
        closures: &["func_literal"],
        methods: &["method_declaration"],
        types: &["type_declaration"],
        wrappers: &["var_declaration", "var_spec", "expression_list"],
        bodies: &["block", "field_declaration_list", "interface_type"],
        named_by_child: &["type_declaration"],
        ..BASE
    },
    Grammar {
        language: Language::Java,
        name: "Java",
        tags: &["java"],
        extensions: &["java"],
        parser: || tree_sitter_java::LANGUAGE.into(),
        comments: &["line_comment", "block_comment"],
        imports: &["package_declaration", "import_declaration"],
        constants: &["field_declaration", "local_variable_declaration"],
        functions: &[
            "method_declaration", "constructor_declaration", "compact_constructor_declaration", "static_initializer",
        ],
        types: &[
            "class_declaration", "interface_declaration", "enum_declaration", "record_declaration",
            "annotation_type_declaration",
        ],
        bodies: &["class_body", "interface_body", "enum_body", "annotation_type_body", "block", "constructor_body"],
        flattened: &["enum_body_declarations"],
        ..BASE
    },
    C,
    Grammar {
        language: Language::Cpp,
        name: "C++",
        tags: &["cpp", "c++", "cc", "cxx", "hpp", "hxx", "hh", "h++"],
        extensions: &["cpp", "cc", "cxx", "c++", "hpp", "hh", "hxx", "h++", "ipp", "tpp", "inl", "cu", "cuh"],
        parser: || tree_sitter_cpp::LANGUAGE.into(),
        methods: &["qualified_identifier"],
        types: &[
            "class_specifier", "struct_specifier", "union_specifier", "enum_specifier", "type_definition",
            "alias_declaration", "concept_definition",
        ],
        scopes: &[
            "namespace_definition", "preproc_ifdef", "preproc_if", "preproc_else", "preproc_elif", "preproc_elifdef",
            "linkage_specification",
        ],
        wrappers: &["template_declaration", "friend_declaration", "field_declaration"],
        named_by_child: &["parenthesized_declarator", "attributed_declarator", "reference_declarator"],
        nameless: &["operator_cast"],
        ..C
    },
    Grammar {
        language: Language::CSharp,
        name: "C#",
        tags: &["csharp", "cs", "c#", "dotnet-script"],
        extensions: &["cs", "csx"],
        parser: || tree_sitter_c_sharp::LANGUAGE.into(),
        comments: &["comment", "shebang_directive"],
        imports: &[
            "using_directive", "extern_alias_directive", "global_attribute", "file_scoped_namespace_declaration",
            "preproc_nullable",
        ],
        constants: &["local_declaration_statement", "preproc_define", "preproc_undef", "preproc_pragma"],
        functions: &[
            "method_declaration", "constructor_declaration", "destructor_declaration", "operator_declaration",
            "conversion_operator_declaration", "local_function_statement",
        ],
        closures: &["property_declaration", "indexer_declaration", "event_declaration"],
        types: &[
            "class_declaration", "struct_declaration", "interface_declaration", "record_declaration",
            "enum_declaration", "delegate_declaration",
        ],
        scopes: &["namespace_declaration", "preproc_if", "preproc_else", "preproc_elif"],
        wrappers: &["global_statement"],
        bodies: &[
            "declaration_list", "enum_member_declaration_list", "block", "arrow_expression_clause", "accessor_list",
        ],
        names: &["name", "operator"],
        ..BASE
    },
    Grammar {
        language: Language::Ruby,
        name: "Ruby",
        tags: &["ruby", "rb", "jruby"],
        extensions: &["rb", "rake", "gemspec", "ru"],
        file_names: &["Gemfile", "Rakefile", "Podfile", "Vagrantfile", "Fastfile"],
        line_comment: "#",
        parser: || tree_sitter_ruby::LANGUAGE.into(),
        continuations: &["heredoc_body"],
        import_words: &["require", "require_relative", "load", "autoload"],
        constants: &["assignment"],
        functions: &["method", "singleton_method"],
        closures: &["do_block"],
        types: &["class", "module", "singleton_class"],
        wrappers: &["call", "assignment", "argument_list"],
        bodies: &["body_statement"],
        names: &["name", "left"],
        ..BASE
    },
    Grammar {
        language: Language::Php,
        name: "PHP",
        tags: &["php", "php7", "php8"],
        extensions: &["php", "phtml", "php5", "phps"],
        parser: || tree_sitter_php::LANGUAGE_PHP.into(),
        fragment: Some(("<?", || tree_sitter_php::LANGUAGE_PHP_ONLY.into())),
        imports: &["php_tag", "namespace_definition", "namespace_use_declaration", "declare_statement"],
        import_words: &["require", "require_once", "include", "include_once", "define"],
        constants: &["const_declaration", "assignment_expression"],
        functions: &["function_definition", "method_declaration"],
        closures: &["anonymous_function", "arrow_function"],
        types: &[
            "class_declaration", "interface_declaration", "trait_declaration", "enum_declaration", "anonymous_class",
        ],
        scopes: &["namespace_definition"],
        wrappers: &[
            "expression_statement", "assignment_expression", "return_statement", "object_creation_expression",
            "function_call_expression", "member_call_expression", "scoped_call_expression", "arguments", "argument",
        ],
        bodies: &["declaration_list", "enum_declaration_list", "compound_statement"],
        names: &["name", "left"],
        ..BASE
    },
    Grammar {
        language: Language::Kotlin,
        name: "Kotlin",
        tags: &["kotlin", "kt", "kts"],
        extensions: &["kt", "kts"],
        parser: || tree_sitter_kotlin_ng::LANGUAGE.into(),
        comments: &["line_comment", "block_comment", "shebang"],
        imports: &["package_header", "import", "file_annotation"],
        constants: &["property_declaration"],
        functions: &["function_declaration", "secondary_constructor", "anonymous_initializer"],
        closures: &["lambda_literal"],
        types: &["class_declaration", "object_declaration", "companion_object", "type_alias"],
        wrappers: &["call_expression", "annotated_lambda"],
        bodies: &["class_body", "enum_class_body", "function_body", "block", "lambda_literal"],
        names: &["name", "type"],
        ..BASE
    },
    Grammar {
        language: Language::Swift,
        name: "Swift",
        tags: &["swift"],
        extensions: &["swift"],
        parser: || tree_sitter_swift::LANGUAGE.into(),
        comments: &["comment", "multiline_comment", "shebang_line"],
        attributes: &["attribute"],
        imports: &["import_declaration"],
        constants: &[
            "property_declaration", "operator_declaration", "precedence_group_declaration", "directive",
            "typealias_declaration",
        ],
        functions: &["function_declaration", "init_declaration", "deinit_declaration", "subscript_declaration"],
        closures: &["property_declaration", "lambda_literal"],
        types: &["class_declaration", "protocol_declaration", "typealias_declaration"],
        bodies: &[
            "class_body", "enum_class_body", "protocol_body", "function_body", "computed_property", "lambda_literal",
        ],
        wrappers: &["call_expression", "call_suffix"],
        nameless: &["subscript_declaration"],
        ..BASE
    },
    Grammar {
        language: Language::Scala,
        name: "Scala",
        tags: &["scala", "sc", "scala3", "sbt", "scala-cli"],
        extensions: &["scala", "sc", "sbt"],
        parser: || tree_sitter_scala::LANGUAGE.into(),
        comments: &["comment", "block_comment", "using_directive"],
        attributes: &["annotation"],
        imports: &["package_clause", "import_declaration", "export_declaration"],
        constants: &["val_definition", "var_definition", "val_declaration", "var_declaration", "type_definition"],
        functions: &["function_definition"],
        types: &[
            "class_definition", "object_definition", "trait_definition", "enum_definition", "given_definition",
            "extension_definition", "package_object", "type_definition",
        ],
        scopes: &["package_clause"],
        bodies: &["template_body", "enum_body", "with_template_body", "block", "indented_block"],
        ..BASE
    },
    Grammar {
        language: Language::Bash,
        name: "Bash",
        tags: &["bash", "sh", "zsh", "shell", "ksh", "dash", "shellscript"],
        extensions: &["sh", "bash", "zsh", "ksh"],
        file_names: &[".bashrc", ".bash_profile", ".profile", ".zshrc", "PKGBUILD"],
        line_comment: "#",
        parser: || tree_sitter_bash::LANGUAGE.into(),
        import_words: &["source", ".", "set", "shopt"],
        constants: &["variable_assignment", "variable_assignments", "declaration_command"],
        functions: &["function_definition"],
        bodies: &["compound_statement"],
        ..BASE
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_the_languages_and_speak_of_what_their_grammars_have() {
        for (row, language) in TABLE.iter().zip(Language::ALL) {
            assert_eq!(row.language, language);
            // Rows that inherit may speak of what only a relative has.
            let relatives: &[Language] = match language {
                Language::JavaScript | Language::TypeScript | Language::Tsx => &[Language::JavaScript, Language::Tsx],
                Language::C | Language::Cpp => &[Language::Cpp],
                _ => &[language],
            };
            let mut parsers: Vec<_> = relatives.iter().map(|&relative| (super::row(relative).parser)()).collect();
            parsers.push((row.parser)());
            let kinds = [row.comments, row.attributes, row.continuations, row.imports, row.constants, row.functions]
                .into_iter()
                .chain([row.closures, row.methods, row.types, row.mentions, row.scopes, row.wrappers, row.bodies])
                .chain([row.flattened, row.named_by_child, row.nameless])
                .flatten();
            for kind in kinds {
                assert!(parsers.iter().any(|p| p.id_for_node_kind(kind, true) != 0), "{}: no kind {kind}", row.name);
            }
            for field in row.names {
                assert!(parsers.iter().any(|p| p.field_id_for_name(field).is_some()), "{}: no field {field}", row.name);
            }
        }
    }
}
