//! The format of health checks: every field, once.
//!
//! One mapping has the fields of all protocols, so that they look alike wherever they mean the same; which
//! protocol takes which is a table in `policy::probes`.

use super::form::{At, Entries, OneOrMany, mapping};
use super::net::Target;
use super::request::{
    Authority, Compared, FieldName, FieldValue, JsonField, JsonValue, Pattern, Percent, ProbeAddress, StatusCodes,
    Text, Token, Url,
};
use super::scalar::{Lasting, Whole};
use super::words::{OnSilenceWord, ProtocolWord, RcodeWord, RecordType, TransportWord, VerifyWord};
use crate::limits;
use crate::model::Name;

/// A duration as an interval or a time-out may be.
pub(super) type Watching<const MIN_MS: u64> = Lasting<MIN_MS, { limits::CHECK_INTERVAL_MAX_MS }>;

/// How many consecutive results.
pub(super) type Consecutive = Whole<1, { limits::CHECK_THRESHOLD_MAX }>;

mapping! {
    /// How each address of an endpoint is probed.
    HealthCheckSpec, "a health check" {
        /// What the probe speaks. SNI and Host are the service's name.
        protocol: At<ProtocolWord> = required,
        /// Probed in place of the address that is answered: an address or a name.
        address: At<ProbeAddress>,
        /// The port. Default: 80 for `http`, 443 for `https` and `tls`, 53 for `dns`.
        port: At<Whole<1, 65535>>,
        /// The method of the HTTP request.
        method: At<Token> = "GET",
        /// The path that HTTP asks for.
        path: At<Target> = "/",
        /// Host or `:authority`, with a port perhaps. Default: the service's name.
        host: At<Authority>,
        /// More fields of the HTTP request's header.
        headers: At<Entries<FieldName, At<FieldValue>>>,
        /// HTTP status codes that are good: a code, a range, or a list of them.
        status: OneOrMany<At<StatusCodes>>,
        /// What the body must contain.
        contains: At<Text>,
        /// A regular expression that the body must match.
        regex: At<Pattern>,
        /// What fields of a JSON body must be, by name or JSON Pointer (RFC 6901). Default: `status: UP` for
        /// a path that ends in `/actuator/health` when no other field says anything of the body.
        json: At<Entries<JsonField, At<JsonValue>>>,
        /// HTTP/2: by ALPN over TLS, with prior knowledge in the clear.
        http2: At<bool> = "false",
        /// How many redirects are followed, to the same address only.
        redirects: At<Whole<0, { limits::PROBE_REDIRECTS_MAX }>> = "0",
        /// How TLS is done. `grpc` does TLS only when this is there.
        tls: TlsSpec,
        /// Sent over the TCP connection, as UTF-8.
        send: At<Text>,
        /// Must come back over the TCP connection.
        expect: At<Text>,
        /// The name that a DNS question asks for. Default: the service's name.
        question: At<Name>,
        /// The type that a DNS question asks for.
        r#type: At<RecordType> = "A",
        /// The DNS response code that is good.
        rcode: At<RcodeWord> = "NOERROR",
        /// One of the DNS answers must be this, as a master file writes it.
        answer: At<Text>,
        /// How a DNS question travels.
        transport: At<TransportWord> = "udp",
        /// The service that grpc.health.v1 is asked about. Default: the whole server.
        service: At<Text>,
        /// The Prometheus server: `http://prometheus.example:9090`.
        url: At<Url>,
        /// PromQL. `$datacenter`, `$endpoint`, `$service` and `$address` stand for the endpoint's own.
        query: At<Text>,
        /// The comparison with the value that means up: `"> 10"`.
        up_when: At<Compared>,
        /// What silence means: of a reporter, or of a Prometheus server that has no answer.
        on_silence: At<OnSilenceWord> = "unknown",
        /// From the start of one probe to the start of the next.
        interval: At<Watching<{ limits::CHECK_INTERVAL_MIN_MS }>> = "5s",
        /// The same between the probes that confirm a failure. Default: 1s, or the interval when that is
        /// shorter.
        fast_interval: At<Watching<{ limits::CHECK_INTERVAL_MIN_MS }>>,
        /// How long a probe may take; at most the interval.
        timeout: At<Watching<1>> = "3s",
        /// A good answer that takes longer is a failure. Default: the timeout.
        max_response: At<Watching<1>>,
        /// Consecutive results, failures or successes, until an address is down or up: `fall` and `rise` in
        /// one.
        threshold: At<Consecutive>,
        /// Consecutive failures until an address is down.
        fall: At<Consecutive> = "3",
        /// Consecutive successes until it is up.
        rise: At<Consecutive> = "2",
        /// Also down when so large a part of the last results are failures, such as 30%. Default: off.
        fail_ratio: At<Percent>,
        /// How many of the last results `fail_ratio` looks at.
        window: At<Whole<2, { limits::FAIL_RATIO_WINDOW_MAX as u64 }>> = "20",
    }
}

mapping! {
    /// How a probe does TLS.
    TlsSpec, "TLS settings" {
        /// The server name that is asked for and that the certificate must have. Default: the service's name.
        sni: At<Authority>,
        /// `system`: by the system's certificate authorities. `off`: not at all.
        verify: At<VerifyWord> = "system",
        /// Certificates are verified by those in this file (PEM), in place of the system's.
        ca: At<String>,
        /// The certificate chain that the probe shows, in a PEM file.
        cert: At<String>,
        /// The key of that certificate, in a PEM file.
        key: At<String>,
        /// Warn when the certificate expires sooner than this.
        expiry_warning: At<Lasting<0, { limits::CERTIFICATE_WARNING_MAX_MS }>> = "14d",
        /// An expired certificate is good enough.
        allow_expired: At<bool> = "false",
    }
}
