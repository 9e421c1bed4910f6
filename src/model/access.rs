//! Who may call what: the words that the configuration, the token file and the API share.

use ipnet::IpNet;

/// What a caller may do, each more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Look.
    Viewer,
    /// Look, and give orders.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// From the least to the greatest.
    pub const ALL: [Role; 3] = [Role::Viewer, Role::Operator, Role::Admin];

    /// As files, tokens and answers write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operator => "operator",
            Role::Admin => "admin",
        }
    }

    /// The role of that name.
    pub fn parse(text: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

/// What callers without credentials may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// From these networks.
    pub from: Vec<IpNet>,
    /// As this role.
    pub role: Role,
    /// Only these calls; empty: all that the role may.
    pub calls: Vec<GrantedCall>,
    /// Who that is in the audit log; `None`: nobody in particular.
    pub actor: Option<String>,
}

/// A method and a path, such as `PUT /api/switch` or `POST /api/datacenters/{id}/drain`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantedCall {
    /// In capitals.
    pub method: String,
    /// Begins with a slash; a segment in braces stands for any one segment.
    pub path: String,
}

impl GrantedCall {
    /// True when it covers a request; `path` without its query.
    pub fn covers(&self, method: &str, path: &str) -> bool {
        let is_any = |segment: &str| segment.starts_with('{') && segment.ends_with('}');
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        self.method == method
            && loop {
                match (ours.next(), theirs.next()) {
                    (None, None) => break true,
                    (Some(our), Some(their)) if our == their || (is_any(our) && !their.is_empty()) => {}
                    (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) => break false,
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_covers_its_method_and_path_and_braces_one_segment() {
        let call = |path: &str| GrantedCall { method: "POST".into(), path: path.into() };
        let drain = call("/api/datacenters/{id}/drain");
        assert!(drain.covers("POST", "/api/datacenters/dc1/drain"));
        for (method, path) in [
            ("GET", "/api/datacenters/dc1/drain"),
            ("POST", "/api/datacenters//drain"),
            ("POST", "/api/datacenters/a/b/drain"),
            ("POST", "/api/datacenters/dc1/drain/"),
            ("POST", "/api/datacenters/dc1"),
        ] {
            assert!(!drain.covers(method, path), "{method} {path}");
        }
        let one = call("/api/datacenters/dc1/failback");
        assert!(one.covers("POST", "/api/datacenters/dc1/failback"));
        assert!(!one.covers("POST", "/api/datacenters/dc2/failback"));
    }

    #[test]
    fn each_role_is_more_than_the_one_before_and_has_one_name() {
        assert!(Role::ALL.is_sorted());
        assert!(Role::ALL.iter().all(|role| Role::parse(role.as_str()) == Some(*role)));
        assert_eq!(Role::parse("root"), None);
    }
}
