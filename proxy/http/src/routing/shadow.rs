//! Finds routes that no request reaches, because others take all of theirs.

use http::Method;

use super::{Claim, KNOWN_METHODS, Node, Router};

impl Router {
    /// Returns the indices of the patterns that no request reaches, in order.
    #[must_use]
    pub fn shadowed(&self) -> Vec<usize> {
        let mut reached = vec![false; self.conditions.len()];
        for node in &self.nodes {
            for (nth, claim) in node.ends.iter().enumerate() {
                reached[claim.route as usize] |= self.is_live(claim, |method| self.takes(&node.ends[..nth], method));
            }
            for (nth, claim) in node.below.iter().enumerate() {
                let taken = |method: &Method| {
                    self.takes(&node.below[..nth], method)
                        || self.takes(&node.ends, method)
                            && node.variable.is_some_and(|below| self.takes_all(&self.nodes[below as usize], method))
                };
                reached[claim.route as usize] |= self.is_live(claim, taken);
            }
        }
        (0..reached.len()).filter(|route| !reached[*route]).collect()
    }

    /// Returns whether other claims leave a method to this one. A method outside [`KNOWN_METHODS`] must be named by its
    /// claim, and is then always live.
    fn is_live(&self, claim: &Claim, taken: impl Fn(&Method) -> bool) -> bool {
        match &claim.method {
            Some(method) => !taken(method),
            None => KNOWN_METHODS.iter().any(|method| !taken(method)),
        }
    }

    /// Returns whether these claims take every request of a method.
    fn takes(&self, claims: &[Claim], method: &Method) -> bool {
        claims.iter().any(|claim| {
            claim.method.as_ref().is_none_or(|named| named == method)
                && self.conditions[claim.route as usize].is_empty()
        })
    }

    /// Returns whether a node takes every request of a method at its path and below. A request whose next name has a
    /// child of its own goes there first, and returns if nothing takes it there.
    fn takes_all(&self, node: &Node, method: &Method) -> bool {
        let further = |below: u32| self.takes_all(&self.nodes[below as usize], method);
        self.takes(&node.below, method) || self.takes(&node.ends, method) && node.variable.is_some_and(further)
    }
}
