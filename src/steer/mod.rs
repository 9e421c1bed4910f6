//! Pure decisions: match, plan, pick.
