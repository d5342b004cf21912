//! The part of Python that describes a job: assignments, attributes, constructor calls and literals.
//!
//! ```text
//!  text --token--> tokens --parse--> objects on a heap, names that stand for them
//! ```
//!
//! Nothing is executed: a call is an object with its class's name and its arguments, and what is not understood
//! (operators, loops, definitions, imports) is passed over by its line's number. Names stand for objects as in Python:
//! an attribute that is set after the object was put somewhere is set there, too.
//!
//! Source: the Python language reference, 2 (lexical analysis), 6.3 (primaries) and 7.2 (assignments).

mod parse;
mod token;
mod value;

pub use parse::parse;
pub use value::{Module, Object, ObjectId, Value};
