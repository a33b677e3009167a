//! Looking at HTTP header fields without a library's types.

/// Header fields of one request, so that duplicates are seen.
pub trait HeaderView {
    /// Calls `f` with the value of every field called `name` (given in lower case), in their order.
    fn all<'a>(&'a self, name: &str, f: &mut dyn FnMut(&'a [u8]));
}

impl<N: AsRef<str>, V: AsRef<[u8]>> HeaderView for [(N, V)] {
    fn all<'a>(&'a self, name: &str, f: &mut dyn FnMut(&'a [u8])) {
        let named = self.iter().filter(|(field, _)| field.as_ref().eq_ignore_ascii_case(name));
        named.for_each(|(_, value)| f(value.as_ref()));
    }
}

/// What a request says in a field that must not appear twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field<'a> {
    Absent,
    One(&'a [u8]),
    Repeated,
}

impl<'a> Field<'a> {
    pub(super) fn of<H: HeaderView + ?Sized>(headers: &'a H, name: &str) -> Self {
        let mut field = Self::Absent;
        headers.all(name, &mut |value| {
            field = if field == Self::Absent { Self::One(value) } else { Self::Repeated };
        });
        field
    }
}
