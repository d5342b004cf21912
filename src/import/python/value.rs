//! The objects that a Python text describes.

use std::collections::BTreeMap;

use crate::secret::Secret;

/// An object's place on the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectId(pub(super) usize);

/// A value. Passwords are secrets from the first moment on.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text; adjacent ones were joined.
    Text(String),
    /// The value of an attribute whose name is a password's.
    Secret(Secret),
    /// A number, as it is written.
    Number(String),
    /// `True`, `False`.
    Truth(bool),
    /// `None`.
    Nothing,
    /// A list, tuple or set.
    List(Vec<Value>),
    /// A dict, in its order.
    Dict(Vec<(Value, Value)>),
    /// A call of something with this name.
    Object(ObjectId),
    /// Something that is not read: a name that nobody set, an operation.
    Unread,
}

/// What a call made.
#[derive(Clone, Debug)]
pub struct Object {
    /// The last name of what was called: `Job`, also of `Ganga.GPI.Job`.
    pub class: String,
    /// Arguments without a name.
    pub positional: Vec<Value>,
    /// Arguments with a name, and attributes that were set.
    pub named: BTreeMap<String, Value>,
    /// The line of the call, counted from 1.
    pub line: usize,
}

/// All that a text describes.
#[derive(Clone, Debug, Default)]
pub struct Module {
    pub(super) heap: Vec<Object>,
    pub(super) names: BTreeMap<String, Value>,
    /// Lines that hold something else than assignments and calls.
    pub unread: Vec<usize>,
}

impl Module {
    /// The object of an id.
    #[must_use]
    pub fn object(&self, id: ObjectId) -> Option<&Object> {
        self.heap.get(id.0)
    }

    /// All objects of a class, in the order in which they were made.
    pub fn of_class<'a>(&'a self, class: &'a str) -> impl Iterator<Item = &'a Object> {
        self.heap.iter().filter(move |object| object.class == class)
    }
}
