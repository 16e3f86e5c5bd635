//! A copy of a request's head, from which the request can be sent again.
//!
//! Nearly every request on a reused connection has a copy made, and hardly one is ever used. A copy is therefore cheap
//! to make and dear to use: the fields lie one after the other in memory that the thread keeps for the next copy, and
//! become a map only when the request is sent again. Values are copied, not shared: for values this short, sharing
//! costs as much, and an atomic count on top.

use std::cell::RefCell;

use http::header::{HeaderName, HeaderValue};
use http::{Method, Request, Uri, Version};

/// Lists of fields that a thread keeps.
const SPARE_LISTS_MAX: usize = 64;
/// Fields that a kept list has room for; a longer list is freed.
const SPARE_FIELDS_MAX: usize = 128;
/// Bytes of values that a kept list has room for.
const SPARE_VALUE_BYTES_MAX: usize = 8 * 1024;

#[derive(Debug, Default)]
struct Fields {
    /// Each name with the end of its value in `values`, and whether HTTP/2 must keep it out of its table (RFC 7541
    /// section 7.1.3). A head has less than 4 GiB.
    names: Vec<(HeaderName, u32, bool)>,
    values: Vec<u8>,
}

thread_local! {
    static SPARE: RefCell<Vec<Fields>> = const { RefCell::new(Vec::new()) };
}

/// A head, without its extensions, which belong to hyper.
#[derive(Debug)]
pub struct HeadCopy {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Fields,
}

impl HeadCopy {
    /// Copies the head of a request.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        let mut fields = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
        for (name, value) in request.headers() {
            fields.values.extend_from_slice(value.as_bytes());
            fields.names.push((name.clone(), fields.values.len() as u32, value.is_sensitive()));
        }
        Self { method: request.method().clone(), uri: request.uri().clone(), version: request.version(), fields }
    }

    /// Makes the request again, with this body. `None` = a value is none that a field may hold; no value that came in a
    /// field is such.
    #[must_use]
    pub fn into_request<B>(mut self, body: B) -> Option<Request<B>> {
        let mut request = Request::new(body);
        *request.method_mut() = std::mem::take(&mut self.method);
        *request.uri_mut() = std::mem::take(&mut self.uri);
        *request.version_mut() = self.version;
        let (headers, mut start) = (request.headers_mut(), 0);
        headers.reserve(self.fields.names.len());
        for (name, end, sensitive) in self.fields.names.drain(..) {
            let mut value = HeaderValue::from_bytes(&self.fields.values[start..end as usize]).ok()?;
            value.set_sensitive(sensitive);
            headers.append(name, value);
            start = end as usize;
        }
        Some(request)
    }
}

impl Drop for HeadCopy {
    fn drop(&mut self) {
        let mut fields = std::mem::take(&mut self.fields);
        fields.names.clear();
        fields.values.clear();
        if fields.names.capacity() > SPARE_FIELDS_MAX || fields.values.capacity() > SPARE_VALUE_BYTES_MAX {
            return;
        }
        // The list of spares is gone once the thread ends.
        let _ended = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_LISTS_MAX {
                spare.push(fields);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: usize) -> Request<()> {
        let mut request = Request::new(());
        *request.method_mut() = Method::PUT;
        *request.uri_mut() = Uri::from_static("/a?b");
        *request.version_mut() = Version::HTTP_2;
        for field in 0..fields {
            // Each name twice, because the order of a field's values must stay.
            let name = HeaderName::try_from(format!("x-{}", field / 2)).unwrap();
            let mut value = HeaderValue::from(field);
            value.set_sensitive(field == 1);
            request.headers_mut().append(name, value);
        }
        request
    }

    #[test]
    fn a_copy_becomes_the_same_request() {
        // The later ones use a list that was used before.
        for fields in [3, 40, 5] {
            let sent = request(fields);
            let again = HeadCopy::of(&sent).into_request(()).unwrap();
            assert_eq!((again.method(), again.uri(), again.version()), (sent.method(), sent.uri(), sent.version()));
            assert_eq!(again.headers(), sent.headers());
            let sensitive = |of: &Request<()>| of.headers().values().map(HeaderValue::is_sensitive).collect::<Vec<_>>();
            assert_eq!(sensitive(&again), sensitive(&sent));
        }
    }

    #[test]
    fn a_thread_keeps_so_many_lists_and_no_long_one() {
        drop(HeadCopy::of(&request(SPARE_FIELDS_MAX * 2)));
        let mut long = request(1);
        long.headers_mut().insert("x-0", HeaderValue::from_str(&"v".repeat(SPARE_VALUE_BYTES_MAX + 1)).unwrap());
        drop(HeadCopy::of(&long));
        assert_eq!(SPARE.with_borrow(Vec::len), 0);
        let copies: Vec<HeadCopy> = (0..SPARE_LISTS_MAX + 9).map(|_| HeadCopy::of(&request(2))).collect();
        drop(copies);
        assert_eq!(SPARE.with_borrow(Vec::len), SPARE_LISTS_MAX);
    }
}
