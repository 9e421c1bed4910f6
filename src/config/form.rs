//! Forms: what a place in a file may hold, for the reader and for editors alike.
//!
//! A [`Form`] reads a node into a value, reporting all that is wrong on the way, and says the same in
//! JSON Schema. Mappings are declared with [`mapping!`], words with [`words!`]: name, type, documentation
//! and default of a field stand there once, and the reader, the schema and the "did you mean" are made
//! from that one table.
//!
//! `None` from a reader means that the reason has been reported. What is left out and what was refused
//! read alike, as an absent field: whoever resolves a mapping does what it can with the rest, so that all
//! errors come at once, and the load is refused in the end.

use std::collections::BTreeMap;
use std::iter::Zip;
use std::rc::Rc;
use std::{slice, vec};

use serde_json::{Map, Value, json};

use super::report::{Report, with_help};
use super::source::Span;
use super::yaml::{Kind, Node, quote};
use crate::diag::Diagnostic;

/// Schemas of mappings by name: they refer to each other, and some to themselves.
pub(super) type Defs = BTreeMap<&'static str, Value>;

/// What a place in a file may hold.
pub(super) trait Form: Sized {
    /// As the end of "expected …".
    fn expected() -> String;

    /// True when a node of this kind is worth reading.
    fn takes(node: &Node) -> bool;

    /// The value. `None`: refused, and reported.
    fn read(node: &Node, report: &mut Report) -> Option<Self>;

    /// In JSON Schema (draft 2020-12).
    fn schema(defs: &mut Defs) -> Value;
}

/// Reports that `node` is not what is expected there.
pub(super) fn refuse(
    node: &Node,
    code: &'static str,
    expected: impl Into<String>,
    help: Option<String>,
    report: &mut Report,
) {
    let found = node.describe();
    let message = match report.field {
        Some(field) => format!("`{field}` cannot be {found}"),
        None => format!("{found} cannot stand here"),
    };
    let error = with_help(Diagnostic::error(code, message).expected(expected), help);
    report.at(node.span, error);
}

/// A value, and where it was written.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: Span,
    /// False when it is a default.
    pub(super) given: bool,
}

impl<T: Form> Form for At<T> {
    fn expected() -> String {
        T::expected()
    }

    fn takes(node: &Node) -> bool {
        T::takes(node)
    }

    fn read(node: &Node, report: &mut Report) -> Option<At<T>> {
        Some(At { value: T::read(node, report)?, at: node.span, given: node.given })
    }

    fn schema(defs: &mut Defs) -> Value {
        T::schema(defs)
    }
}

/// A form inside itself.
#[derive(Clone, Debug)]
pub(super) struct Nested<T>(pub(super) Box<T>);

impl<T: Form> Form for Nested<T> {
    fn expected() -> String {
        T::expected()
    }

    fn takes(node: &Node) -> bool {
        T::takes(node)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Nested<T>> {
        T::read(node, report).map(|value| Nested(Box::new(value)))
    }

    fn schema(defs: &mut Defs) -> Value {
        T::schema(defs)
    }
}

/// A value that need not be filled in: `dc1:` alone is enough.
impl<T: Form> Form for Option<T> {
    fn expected() -> String {
        format!("{}, or nothing", T::expected())
    }

    fn takes(node: &Node) -> bool {
        node.is_null() || T::takes(node)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Option<T>> {
        if node.is_null() { Some(None) } else { T::read(node, report).map(Some) }
    }

    fn schema(defs: &mut Defs) -> Value {
        json!({ "anyOf": [T::schema(defs), { "type": "null" }] })
    }
}

/// A list, always written as one.
impl<T: Form> Form for Vec<T> {
    fn expected() -> String {
        format!("a list, each item {}", T::expected())
    }

    fn takes(node: &Node) -> bool {
        matches!(node.kind, Kind::List(_))
    }

    fn read(node: &Node, report: &mut Report) -> Option<Vec<T>> {
        match &node.kind {
            // An item that is refused leaves a gap; the error says so.
            Kind::List(items) => Some(all(items.len(), items.iter().filter_map(|item| T::read(item, report)))),
            Kind::Scalar { .. } | Kind::Mapping(_) => {
                refuse(node, "wrong-type", Self::expected(), None, report);
                None
            }
        }
    }

    fn schema(defs: &mut Defs) -> Value {
        json!({ "type": "array", "items": T::schema(defs) })
    }
}

/// One, or a list of them.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T> {
    pub(super) items: Vec<T>,
    pub(super) at: Span,
}

impl<T: Form> Form for OneOrMany<T> {
    fn expected() -> String {
        format!("{}, or a list of such", T::expected())
    }

    fn takes(node: &Node) -> bool {
        Vec::<T>::takes(node) || T::takes(node)
    }

    fn read(node: &Node, report: &mut Report) -> Option<OneOrMany<T>> {
        let items = match &node.kind {
            Kind::List(_) => Vec::<T>::read(node, report)?,
            Kind::Scalar { .. } | Kind::Mapping(_) => vec![T::read(node, report)?],
        };
        Some(OneOrMany { items, at: node.span })
    }

    fn schema(defs: &mut Defs) -> Value {
        let one = T::schema(defs);
        json!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
    }
}

/// A short form, or a mapping. Mappings have many fields and are rare where there is a short form, so they are kept
/// elsewhere.
#[derive(Clone, Debug)]
pub(super) enum Either<S, M> {
    Short(S),
    Mapping(Box<M>),
}

impl<S: Form, M: Form> Form for Either<S, M> {
    fn expected() -> String {
        format!("{}, or {}", S::expected(), M::expected())
    }

    fn takes(node: &Node) -> bool {
        M::takes(node) || S::takes(node)
    }

    fn read(node: &Node, report: &mut Report) -> Option<Either<S, M>> {
        if M::takes(node) {
            return M::read(node, report).map(|mapping| Either::Mapping(Box::new(mapping)));
        }
        if S::takes(node) {
            return S::read(node, report).map(Either::Short);
        }
        refuse(node, "wrong-type", Self::expected(), None, report);
        None
    }

    fn schema(defs: &mut Defs) -> Value {
        json!({ "anyOf": [S::schema(defs), M::schema(defs)] })
    }
}

/// A mapping whose keys are names that the author chose.
#[derive(Clone, Debug)]
pub(super) struct Entries<K, V>(pub(super) Vec<(At<K>, V)>);

impl<K: Form, V: Form> Form for Entries<K, V> {
    fn expected() -> String {
        format!("a mapping from {} to {}", K::expected(), V::expected())
    }

    fn takes(node: &Node) -> bool {
        matches!(node.kind, Kind::Mapping(_))
    }

    fn read(node: &Node, report: &mut Report) -> Option<Entries<K, V>> {
        let Kind::Mapping(entries) = &node.kind else {
            refuse(node, "wrong-type", Self::expected(), None, report);
            return None;
        };
        let read = entries.iter().filter_map(|(key, value)| read_entry(key, value, report));
        Some(Entries(all(entries.len(), read)))
    }

    fn schema(defs: &mut Defs) -> Value {
        json!({ "type": "object", "additionalProperties": V::schema(defs) })
    }
}

/// Both are read, whatever becomes of the first: all errors at once.
fn read_entry<K: Form, V: Form>(key: &Node, value: &Node, report: &mut Report) -> Option<(At<K>, V)> {
    let field = report.field.take();
    let key = At::<K>::read(key, report);
    let value = V::read(value, report);
    report.field = field;
    Some((key?, value?))
}

/// Whether a field must be there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    Required,
    Optional,
    /// What is read in its place, as it would be written.
    Default(&'static str),
}

/// A field of a mapping.
#[derive(Debug)]
pub(super) struct Field {
    /// As Rust writes it; see [`Field::name`].
    pub(super) ident: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) need: Need,
    pub(super) schema: fn(&mut Defs) -> Value,
}

impl Field {
    /// As the file writes it.
    pub(super) fn name(&self) -> &'static str {
        self.ident.strip_prefix("r#").unwrap_or(self.ident)
    }
}

/// The lines of a documentation comment as one paragraph.
pub(super) fn paragraph(doc: &[&str]) -> String {
    doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ").trim().to_owned()
}

/// What [`mapping!`] declares, as a table.
#[derive(Debug)]
pub(super) struct Table {
    /// With its article: `an endpoint`.
    pub(super) noun: &'static str,
    pub(super) doc: &'static [&'static str],
    pub(super) fields: &'static [Field],
}

/// The values of a mapping, in the order of its table.
pub(super) struct Values<'a> {
    pub(super) fields: Zip<slice::Iter<'static, Field>, vec::IntoIter<Option<Rc<Node>>>>,
    /// Keys that the table does not know.
    pub(super) rest: Vec<&'a (Node, Rc<Node>)>,
}

impl Table {
    /// The values of `node`, required ones asked for; `None` when it is no mapping.
    pub(super) fn values<'a>(&'static self, node: &'a Node, report: &mut Report) -> Option<Values<'a>> {
        let Kind::Mapping(entries) = &node.kind else {
            refuse(node, "wrong-type", self.expected(), None, report);
            return None;
        };
        let mut values = vec![None; self.fields.len()];
        let mut rest = Vec::new();
        for entry in entries {
            let Kind::Scalar { text, .. } = &entry.0.kind else { continue };
            match self.fields.iter().position(|field| field.name() == &**text) {
                Some(at) => values[at] = Some(Rc::clone(&entry.1)),
                None => rest.push(entry),
            }
        }
        for (field, value) in self.fields.iter().zip(&mut values) {
            match (field.need, &value) {
                (Need::Required, None) => {
                    let error = Diagnostic::error("missing-field", format!("{} has no `{}`", self.noun, field.name()))
                        .expected(format!("`{}`: {}", field.name(), paragraph(field.doc)));
                    report.at(node.span, error);
                }
                (Need::Default(default), None) => *value = Some(Rc::new(Node::stand_in(default, node.span))),
                (Need::Required | Need::Optional | Need::Default(_), _) => {}
            }
        }
        Some(Values { fields: self.fields.iter().zip(values), rest })
    }

    /// As the end of "expected …".
    pub(super) fn expected(&self) -> String {
        format!("{} (a mapping with {})", self.noun, self.names())
    }

    fn names(&self) -> String {
        let names: Vec<String> = self.fields.iter().map(|field| format!("`{}`", field.name())).collect();
        names.join(", ")
    }

    /// Reports keys that the table does not know.
    pub(super) fn refuse_unknown(&self, rest: &[&(Node, Rc<Node>)], report: &mut Report) {
        for (key, _) in rest {
            let Kind::Scalar { text, .. } = &key.kind else { continue };
            let help = report.did_you_mean(text, self.fields.iter().map(Field::name));
            let error = Diagnostic::error("unknown-field", format!("{} has no field {}", self.noun, quote(text)))
                .expected(format!("one of {}", self.names()));
            report.at(key.span, with_help(error, help));
        }
    }

    /// In JSON Schema; `rest` is for keys that the table does not know.
    pub(super) fn schema(&self, rest: Value, defs: &mut Defs) -> Value {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in self.fields {
            let mut schema = (field.schema)(defs);
            if let Value::Object(object) = &mut schema {
                object.insert("description".into(), paragraph(field.doc).into());
                if let Need::Default(default) = field.need {
                    let typed = default.parse::<u64>().map_or_else(|_| Value::from(default), Value::from);
                    let typed = default.parse::<bool>().map_or(typed, Value::from);
                    object.insert("default".into(), typed);
                }
            }
            properties.insert(field.name().into(), schema);
            if let Need::Required = field.need {
                required.push(Value::from(field.name()));
            }
        }
        let mut schema = json!({
            "type": "object",
            "description": paragraph(self.doc),
            "properties": properties,
            "additionalProperties": rest,
        });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema
    }
}

/// Reads the next field of a mapping.
pub(super) fn take<T: Form>(values: &mut Values<'_>, report: &mut Report) -> Option<T> {
    let (field, node) = values.fields.next()?;
    let outer = report.field.replace(field.name());
    let value = node.and_then(|node| T::read(&node, report));
    report.field = outer;
    value
}

/// Declares a mapping: a struct of optional fields, its reader and its schema.
///
/// `= required` and `= "default"` behind a field say what happens when it is left out. `..rest: K => V`
/// at the end takes keys that are names; without it they are refused.
macro_rules! mapping {
    (@need) => { $crate::config::form::Need::Optional };
    (@need required) => { $crate::config::form::Need::Required };
    (@need $default:literal) => { $crate::config::form::Need::Default($default) };
    (
        $(#[doc = $doc:literal])+
        $name:ident, $noun:literal {
            $( $(#[doc = $field_doc:literal])+ $field:ident: $type:ty $(= $need:tt)?, )*
        }
    ) => {
        mapping! { @struct $(#[doc = $doc])+ $name, $noun { $( $(#[doc = $field_doc])+ $field: $type $(= $need)?, )* } {} }

        impl $crate::config::form::Form for $name {
            fn expected() -> String {
                Self::TABLE.expected()
            }

            fn takes(node: &$crate::config::yaml::Node) -> bool {
                matches!(node.kind, $crate::config::yaml::Kind::Mapping(_))
            }

            fn read(node: &$crate::config::yaml::Node, report: &mut $crate::config::report::Report) -> Option<$name> {
                #[allow(unused_mut, reason = "a mapping may have a single field")]
                let mut values = Self::TABLE.values(node, report)?;
                let before = report.errors();
                Self::TABLE.refuse_unknown(&values.rest, report);
                $( let $field = $crate::config::form::take(&mut values, report); )*
                Some($name { at: node.span, clean: report.errors() == before, $($field),* })
            }

            fn schema(defs: &mut $crate::config::form::Defs) -> serde_json::Value {
                $crate::config::form::define(stringify!($name), defs, |defs| Self::TABLE.schema(false.into(), defs))
            }
        }
    };
    (
        $(#[doc = $doc:literal])+
        $name:ident, $noun:literal {
            $( $(#[doc = $field_doc:literal])+ $field:ident: $type:ty $(= $need:tt)?, )*
            ..$rest:ident: $key:ty => $value:ty
        }
    ) => {
        mapping! {
            @struct $(#[doc = $doc])+ $name, $noun { $( $(#[doc = $field_doc])+ $field: $type $(= $need)?, )* }
            { $rest: $crate::config::form::Entries<$key, $value> }
        }

        impl $crate::config::form::Form for $name {
            fn expected() -> String {
                Self::TABLE.expected()
            }

            fn takes(node: &$crate::config::yaml::Node) -> bool {
                matches!(node.kind, $crate::config::yaml::Kind::Mapping(_))
            }

            fn read(node: &$crate::config::yaml::Node, report: &mut $crate::config::report::Report) -> Option<$name> {
                let mut values = Self::TABLE.values(node, report)?;
                let before = report.errors();
                let $rest = $crate::config::form::entries(&values.rest, report);
                $( let $field = $crate::config::form::take(&mut values, report); )*
                Some($name { at: node.span, clean: report.errors() == before, $($field,)* $rest })
            }

            fn schema(defs: &mut $crate::config::form::Defs) -> serde_json::Value {
                $crate::config::form::define(stringify!($name), defs, |defs| {
                    let rest = <$value as $crate::config::form::Form>::schema(defs);
                    Self::TABLE.schema(rest, defs)
                })
            }
        }
    };
    (
        @struct $(#[doc = $doc:literal])+
        $name:ident, $noun:literal { $( $(#[doc = $field_doc:literal])+ $field:ident: $type:ty $(= $need:tt)?, )* }
        { $($rest:ident: $rest_type:ty)? }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        #[allow(dead_code, reason = "not every place is asked for, and `version` says all by being read")]
        pub(super) struct $name {
            /// Where it stands.
            pub(super) at: $crate::config::source::Span,
            /// False when something in it was refused: then what is absent may have been given.
            pub(super) clean: bool,
            $( $(#[doc = $field_doc])+ pub(super) $field: Option<$type>, )*
            $( pub(super) $rest: $rest_type, )?
        }

        impl $name {
            pub(super) const TABLE: $crate::config::form::Table = $crate::config::form::Table {
                noun: $noun,
                doc: &[$($doc),+],
                fields: &[ $( $crate::config::form::Field {
                    ident: stringify!($field),
                    doc: &[$($field_doc),+],
                    need: mapping!(@need $($need)?),
                    schema: <$type as $crate::config::form::Form>::schema,
                }, )* ],
            };
        }
    };
}
pub(super) use mapping;

/// Keys that are names, with their values.
pub(super) fn entries<K: Form, V: Form>(rest: &[&(Node, Rc<Node>)], report: &mut Report) -> Entries<K, V> {
    Entries(all(rest.len(), rest.iter().filter_map(|(key, value)| read_entry(key, value, report))))
}

/// So many values, or fewer when some are refused, without room for more.
fn all<T>(len: usize, values: impl Iterator<Item = T>) -> Vec<T> {
    let mut all = Vec::with_capacity(len);
    all.extend(values);
    all
}

/// Puts the schema of a mapping among the definitions, once, and refers to it.
pub(super) fn define(name: &'static str, defs: &mut Defs, schema: impl FnOnce(&mut Defs) -> Value) -> Value {
    let name = name.strip_suffix("Spec").unwrap_or(name);
    if !defs.contains_key(name) {
        defs.insert(name, Value::Null);
        let schema = schema(defs);
        defs.insert(name, schema);
    }
    json!({ "$ref": format!("#/$defs/{name}") })
}

/// Declares an enum whose variants are words in a file.
macro_rules! words {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $( $(#[doc = $word_doc:literal])+ $variant:ident = $word:literal, )+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name {
            $( $(#[doc = $word_doc])+ $variant, )+
        }

        impl $crate::config::scalar::Scalar for $name {
            fn expected() -> String {
                let words: Vec<String> = [$($word),+].iter().map(|word| format!("`{word}`")).collect();
                format!("one of {}", words.join(", "))
            }

            fn parse(text: &str, _plain: bool) -> Result<$name, $crate::config::scalar::Refusal> {
                match text {
                    $( $word => Ok($name::$variant), )+
                    _ => Err($crate::config::scalar::Refusal::word(&[$($word),+])),
                }
            }

            fn schema() -> serde_json::Value {
                serde_json::json!({ "oneOf": [$({
                    "const": $word,
                    "description": $crate::config::form::paragraph(&[$($word_doc),+]),
                }),+] })
            }
        }
    };
}
pub(super) use words;
