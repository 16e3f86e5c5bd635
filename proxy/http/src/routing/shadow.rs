//! Routes that no request reaches, as others take all of theirs.

use http::Method;

use super::{Claim, KNOWN_METHODS, Node, Router};

impl Router {
    /// Indexes of the patterns that no request reaches, in order.
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

    /// Whether there is a method that others leave to this claim. Others than these must be named, and then are live.
    fn is_live(&self, claim: &Claim, taken: impl Fn(&Method) -> bool) -> bool {
        match &claim.method {
            Some(method) => !taken(method),
            None => KNOWN_METHODS.iter().any(|method| !taken(method)),
        }
    }

    /// Whether claims take every request of this method.
    fn takes(&self, claims: &[Claim], method: &Method) -> bool {
        claims.iter().any(|claim| {
            claim.method.as_ref().is_none_or(|named| named == method)
                && self.conditions[claim.route as usize].is_empty()
        })
    }

    /// Whether every request of this method at a node and below it is taken there. A name that has a child of its own
    /// may go there, but comes back if nothing takes it.
    fn takes_all(&self, node: &Node, method: &Method) -> bool {
        let further = |below: u32| self.takes_all(&self.nodes[below as usize], method);
        self.takes(&node.below, method) || self.takes(&node.ends, method) && node.variable.is_some_and(further)
    }
}
