//! Which class a request belongs to.

use loadline_core::Class;

/// Says the class of a request. Any `Fn(&http::Request<B>) -> Class` does.
///
/// A class is a privilege: derive it from what a client cannot choose freely.
pub trait Classify<B> {
    /// The class of this request. Called once, before admission.
    fn classify(&self, request: &http::Request<B>) -> Class;
}

impl<B, F: Fn(&http::Request<B>) -> Class> Classify<B> for F {
    fn classify(&self, request: &http::Request<B>) -> Class {
        self(request)
    }
}

/// Every request is [`Class::Normal`].
#[derive(Clone, Copy, Debug, Default)]
pub struct AllNormal;

impl<B> Classify<B> for AllNormal {
    fn classify(&self, _: &http::Request<B>) -> Class {
        Class::Normal
    }
}
