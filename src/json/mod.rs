//! JSON, and the only room that knows it: registry documents, policies, options, and the forms of administration.
//!
//! Reading is strict, and every fault has its place: [`reader`] walks a text and collects what is wrong, and the other
//! files say what each document holds. May use everything below the registry.

pub(crate) mod dates;
pub(crate) mod document;
pub(crate) mod forms;
pub(crate) mod policy;
mod reader;

pub(crate) use reader::MAX_BYTES;
