//! Who failed: the limit, or what is behind it.

use std::{error, fmt};

use loadline_core::Rejection;

/// The error of a limited service. Overload and the service's own errors are different variants, because they call for
/// different things: after [`Self::Shed`] nothing was begun, and a retry is safe once `retry_after` is over.
///
/// In a boxed error, look for a [`Rejection`] along the chain of [`source`](error::Error::source)s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error<E> {
    /// Not admitted; the service was never called.
    Shed(Rejection),
    /// The service's own error.
    Inner(E),
}

impl<E> Error<E> {
    /// Why it was not admitted, if that is what happened.
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::Shed(rejection) => Some(rejection),
            Self::Inner(_) => None,
        }
    }
}

impl<E: fmt::Display> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shed(_) => f.write_str("not admitted, the service was not called"),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: error::Error> error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Shed(rejection) => Some(rejection),
            // Shown in its place, so that its own cause comes next.
            Self::Inner(error) => error.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, time::Duration};

    use loadline_core::{Class, Reason};

    use super::*;

    #[test]
    fn overload_is_told_from_errors_of_the_service_by_type_and_along_the_chain() {
        let rejection = Rejection::new(Reason::Concurrency, Class::Normal, Duration::from_secs(1));
        let shed: Error<io::Error> = Error::Shed(rejection.clone());
        assert_eq!(shed.rejection(), Some(&rejection));
        let boxed: Box<dyn error::Error> = Box::new(shed);
        assert_eq!(boxed.source().unwrap().downcast_ref::<Rejection>(), Some(&rejection));

        let inner = Error::Inner(io::Error::other("disk"));
        assert_eq!((inner.rejection(), inner.to_string().as_str()), (None, "disk"));
    }
}
