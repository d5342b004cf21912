//! The engines of one round of questions: each is set up once, so that one that does not answer is waited for once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::error::FollowError;
use super::surroundings::Surroundings;
use crate::backend::Backend;
use crate::text::one_line;

/// See the module. Whoever asks again later begins another round.
pub struct Engines<'h> {
    pub(super) here: &'h dyn Surroundings,
    known: RefCell<BTreeMap<String, Rc<dyn Backend>>>,
}

impl fmt::Debug for Engines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.known.borrow().keys()).finish()
    }
}

impl<'h> Engines<'h> {
    /// A new round.
    #[must_use]
    pub fn of(here: &'h dyn Surroundings) -> Self {
        Self { here, known: RefCell::default() }
    }

    /// The engine of this kind.
    ///
    /// # Errors
    /// [`FollowError::NoBackend`]: a newer program may know it.
    pub(super) fn engine(&self, kind: &str) -> Result<Rc<dyn Backend>, FollowError> {
        let mut known = self.known.borrow_mut();
        if let Some(engine) = known.get(kind) {
            return Ok(Rc::clone(engine));
        }
        let engine = self.here.engine(kind);
        let engine = engine.ok_or_else(|| FollowError::NoBackend(one_line(kind)))?;
        let engine: Rc<dyn Backend> = Rc::from(engine);
        known.insert(kind.to_owned(), Rc::clone(&engine));
        Ok(engine)
    }
}
