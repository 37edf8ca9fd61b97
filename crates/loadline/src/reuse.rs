//! Boxes of futures, used again for futures of the same type.
//!
//! A connection boxes what it needs while a request is served and frees it when it idles again: some 4 kB, for each request. An
//! allocator does that well until the pages of that size happen to be full; then each rejection gets a page from it and gives it
//! back, at a quarter of the rejection's price. So a worker keeps the boxes, as it keeps [buffers](crate::buffers).
//!
//! Of one type only, that which was given first: TCP connections are by far the most. Others are boxed as usual.

use std::any::Any;
use std::cell::RefCell;
use std::pin::Pin;

/// Boxes kept per worker: as many requests in service at once find one.
const KEPT: usize = 256;

/// One worker's boxes.
#[derive(Default)]
pub(crate) struct Boxes(RefCell<Option<Box<dyn Any>>>);

impl Boxes {
    /// Boxes a future, in a box that was given back if there is one.
    pub(crate) fn put<F: Future + 'static>(&self, future: F) -> Pin<Box<F>> {
        let mut kept = self.0.borrow_mut();
        let kept = kept.as_mut().and_then(|kept| kept.downcast_mut::<Vec<Pin<Box<F>>>>());
        match kept.and_then(Vec::pop) {
            Some(mut used) => {
                used.set(future);
                used
            }
            None => Box::pin(future),
        }
    }

    /// Takes back the box of a future that has ended.
    pub(crate) fn give<F: Future + 'static>(&self, ended: Pin<Box<F>>) {
        let mut kept = self.0.borrow_mut();
        let kept = kept.get_or_insert_with(|| Box::new(Vec::<Pin<Box<F>>>::new()));
        if let Some(kept) = kept.downcast_mut::<Vec<Pin<Box<F>>>>()
            && kept.len() < KEPT
        {
            kept.push(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn add(a: u64, b: u64) -> u64 {
        tokio::task::yield_now().await;
        a + b
    }

    #[tokio::test]
    async fn a_box_is_used_again_for_its_type_alone() {
        let boxes = Boxes::default();
        let mut first = boxes.put(add(1, 2));
        assert_eq!(first.as_mut().await, 3);
        let place = &raw const *first;
        boxes.give(first);
        let mut other = boxes.put(async { "of another type" });
        assert_eq!(other.as_mut().await, "of another type");
        boxes.give(other);
        let mut second = boxes.put(add(3, 4));
        assert_eq!(&raw const *second, place);
        assert_eq!(second.as_mut().await, 7);
    }
}
