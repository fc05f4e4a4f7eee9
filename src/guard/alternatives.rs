//! A requirement as a list of alternatives, each a list of permissions: the form that OpenAPI has for it.

use apikey_core::Need;

/// The lists of permissions of which a key needs one. A single empty list if the tree is too deep for this form.
pub(crate) fn alternatives(need: &Need) -> Vec<Vec<&'static str>> {
    let name = |need: &&'static Need| match need {
        Need::Permission(permission) => Some(vec![*permission]),
        Need::All(all) => {
            all.iter().map(|need| if let Need::Permission(name) = need { Some(*name) } else { None }).collect()
        }
        Need::Authenticated | Need::Any(_) => None,
    };
    let listed = match need {
        Need::Authenticated => Some(vec![vec![]]),
        Need::Permission(permission) => Some(vec![vec![*permission]]),
        Need::Any(any) => any.iter().map(name).collect(),
        Need::All(all) => {
            let names: Option<Vec<_>> = all.iter().map(name).collect();
            names.map(|names| vec![names.concat()])
        }
    };
    listed.unwrap_or_else(|| vec![vec![]])
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Need = Need::Permission("orders:read");
    const WRITE: Need = Need::Permission("orders:write");
    const STOCK: Need = Need::Permission("stock:read");

    #[test]
    fn trees_become_alternatives() {
        assert_eq!(alternatives(&Need::Authenticated), [[""; 0]]);
        assert_eq!(alternatives(&READ), [["orders:read"]]);
        assert_eq!(alternatives(&Need::All(&[&READ, &STOCK])), [["orders:read", "stock:read"]]);
        let tree = Need::Any(&[&WRITE, &Need::All(&[&READ, &STOCK])]);
        assert_eq!(alternatives(&tree), [vec!["orders:write"], vec!["orders:read", "stock:read"]]);
        // Too deep: the lists would multiply.
        assert_eq!(alternatives(&Need::All(&[&WRITE, &Need::Any(&[&READ, &STOCK])])), [[""; 0]]);
    }
}
