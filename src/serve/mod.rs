//! Front doors: UDP workers, TCP, DNS over TLS.
