//! The bucket that a host name says: what stands before one of our domains.
//!
//! AWS S3 User Guide, "Virtual hosting of general purpose buckets". Its third way, a host name of any domain that is itself the bucket's name,
//! is left out: a server of one's own is reached under names that are no buckets (`localhost`, a container's, a balancer's), and what they ask
//! for stands in the path, as it does where no domain is set.

use s3s::S3Result;
use s3s::host::{MultiDomain, S3Host, VirtualHost};

use crate::server::ServeError;

/// Domains whose subdomains are buckets. There is at least one, and none of them ends in another.
#[derive(Debug)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    /// `None` without domains: every request has its bucket in the path then.
    pub(crate) fn new(domains: &[String]) -> Result<Option<Self>, ServeError> {
        if domains.is_empty() {
            return Ok(None);
        }
        for domain in domains {
            MultiDomain::new([domain]).map_err(|_| ServeError::Domain { domain: domain.clone() })?;
        }
        MultiDomain::new(domains).map_err(|_| ServeError::Domain { domain: domains.join(", ") })?;
        Ok(Some(Self(domains.to_vec())))
    }
}

impl S3Host for Hosts {
    fn parse_host_header<'a>(&'a self, host: &'a str) -> S3Result<VirtualHost<'a>> {
        let found = VirtualHost::new(host);
        Ok(match bucket_in(host, &self.0) {
            Some(bucket) => found.with_bucket(bucket),
            None => found,
        })
    }
}

/// What stands before one of these domains, if anything does.
pub(crate) fn bucket_in(host: &str, domains: &[String]) -> Option<String> {
    // Names of hosts have no case, those of buckets are in lower case. Clients send the port that they connect to, which a domain need not
    // name and a proxy may change, so ports say nothing. Of two domains that end alike but for their ports the longer one is meant.
    let host = without_port(host).to_ascii_lowercase();
    let before = |domain: &String| {
        let bucket = host.strip_suffix(&without_port(domain).to_ascii_lowercase())?.strip_suffix('.')?;
        (!bucket.is_empty()).then(|| bucket.to_owned())
    };
    domains.iter().filter_map(before).min_by_key(String::len)
}

fn without_port(host: &str) -> &str {
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(host: &str, domain: &str) -> Option<String> {
        let hosts = Hosts::new(&[domain.to_owned()]).unwrap().expect("there is a domain");
        hosts.parse_host_header(host).unwrap().bucket().map(str::to_owned)
    }

    #[test]
    fn a_bucket_stands_before_a_domain_whatever_the_port() {
        for host in ["b.s3.test", "b.s3.test:9000", "B.S3.Test:443"] {
            assert_eq!(bucket(host, "s3.test").as_deref(), Some("b"), "{host}");
        }
        assert_eq!(bucket("a.b.s3.test:9000", "s3.test").as_deref(), Some("a.b"));
        for host in ["b.s3.test:9000", "b.s3.test", "b.s3.test:80"] {
            assert_eq!(bucket(host, "s3.test:9000").as_deref(), Some("b"), "{host}");
        }
        assert_eq!(bucket("b.s3.test", "S3.test").as_deref(), Some("b"));
    }

    #[test]
    fn other_hosts_name_no_bucket() {
        for host in [
            "s3.test",
            "s3.test:9000",
            "localhost",
            "localhost:9000",
            "bs3.test",
            ".s3.test",
            "s3.test.example",
            "[::1]:9000",
        ] {
            assert_eq!(bucket(host, "s3.test"), None, "{host}");
        }
        let domains = ["s3.test".to_owned(), "a.s3.test:9000".to_owned()];
        assert_eq!(bucket_in("b.a.s3.test:9000", &domains).as_deref(), Some("b"));
    }

    #[test]
    fn a_domain_has_to_be_one_and_end_in_no_other() {
        assert!(Hosts::new(&[]).unwrap().is_none());
        for domains in [&["s3 test"][..], &["s3.test", "a.s3.test"]] {
            let domains: Vec<_> = domains.iter().map(|&domain| domain.to_owned()).collect();
            assert!(matches!(Hosts::new(&domains), Err(ServeError::Domain { .. })), "{domains:?}");
        }
    }
}
