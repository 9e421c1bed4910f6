//! Every bound of the program, each with its reason.
//!
//! Nothing in Meridian grows without one of these: a queue, a buffer, a table, a file. They stand
//! together so that they can be read against each other; relations that must hold between them are
//! asserted at the end, at compile time.

/// Octets in a domain name in wire form, the root's zero octet included (RFC 1035 §3.1).
pub const NAME_LEN_MAX: usize = 255;

/// Octets in one label (RFC 1035 §3.1).
pub const LABEL_LEN_MAX: usize = 63;

/// Names' suffixes that a reply remembers as targets of compression. A referral to 13 servers in one
/// zone takes 14; what is more is written out.
pub const COMPRESSION_SUFFIXES_MAX: usize = 64;

/// The largest DNS message: what TCP's two-octet length can say (RFC 1035 §4.2.2).
pub const MESSAGE_LEN_MAX: usize = 65_535;

/// The records of one RRset in octets: the largest message less header, the longest question, and OPT.
pub const RRSET_LEN_MAX: usize = MESSAGE_LEN_MAX - 12 - (NAME_LEN_MAX + 4) - 11;

/// The largest UDP response without EDNS (RFC 1035 §4.2.1), and the least that EDNS may ask for
/// (RFC 6891 §6.2.3).
pub const UDP_RESPONSE_LEN_MIN: usize = 512;

/// The largest UDP response unless configured otherwise: fits every path without fragments
/// (DNS Flag Day 2020).
pub const UDP_RESPONSE_LEN_DEFAULT: usize = 1232;

/// The largest UDP response that may be configured.
pub const UDP_RESPONSE_LEN_MAX: usize = 4096;

/// The largest query that is read over UDP: a question of 255 octets, OPT with options, room to spare.
/// A longer datagram is cut by the kernel and then malformed.
pub const UDP_QUERY_LEN_MAX: usize = 1536;

/// Queries a UDP worker receives and answers with one table, and with one system call each way.
pub const BATCH_LEN: usize = 64;

/// From so many names on a batch is looked ahead: 100 octets each, they fill a processor's own cache then.
pub const LOOK_AHEAD_NAMES: usize = 10_000;

/// From so many services on: one kilobyte each.
pub const LOOK_AHEAD_SERVICES: usize = 1_000;

/// CNAME and DNAME hops followed inside our zones for one query.
pub const CNAME_HOPS_MAX: usize = 8;

/// The largest time to live (RFC 2181 §8 allows 2^31 - 1); a week, because a longer one can not be
/// taken back when a data centre dies.
pub const TTL_MAX_S: u32 = 604_800;

/// Answer TTL of a service unless its policy says otherwise: noticing (at most 9.5 s) plus expiry
/// plus margin stays under 30 s.
pub const TTL_DEFAULT_S: u32 = 15;

/// SOA TTL of a NODATA answer that depends on the client: recursors may cache it for everyone
/// (RFC 7871 §7.4).
pub const CLIENT_NODATA_TTL_MAX_S: u32 = 5;

/// The largest weight of a member.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Addresses in one answer (`max_answers`): fits 1232 octets with room for IPv6.
pub const ANSWERS_MAX: u8 = 8;

/// Addresses of one family that an endpoint may list. An endpoint answers with all its live ones.
pub const ENDPOINT_ADDRESSES_MAX: usize = 16;

/// Endpoints of one service.
pub const ENDPOINTS_MAX: usize = 256;

/// Services in one server.
pub const SERVICES_MAX: usize = 200_000;

/// Services in one chunk of a routing table: what a health transition recompiles.
pub const CHUNK_SERVICES: usize = 64;

/// Octets of records that one service may come to, over all its regions and whatever is up: a chunk's
/// records are addressed with 32 bits, and a change of health renders them anew.
pub const SERVICE_RECORDS_LEN_MAX: usize = 8 << 20;

/// Data centres.
pub const DATACENTERS_MAX: usize = 1024;

/// Regions that are defined or used, in all.
pub const REGIONS_MAX: usize = 4096;

/// Regions that one service may name: keeps outcomes of a map in 16 bits with `nearest` orders.
pub const SERVICE_REGIONS_MAX: usize = 1024;

/// Terms in the match rule of one region.
pub const REGION_TERMS_MAX: usize = 4096;

/// How deep match rules and pools may nest.
pub const NESTING_MAX: usize = 8;

/// Tiers of one region.
pub const TIERS_MAX: usize = 32;

/// Members of one pool.
pub const POOL_MEMBERS_MAX: usize = 256;

/// Variants of one plan: what `pick` walks for a sticky choice, so it bounds the time of an answer.
pub const PLAN_VARIANTS_MAX: usize = 256;

/// Operator networks, in all files.
pub const NETWORKS_MAX: usize = 1_000_000;

/// Distinct location maps in a table. Each distinct rule set costs one.
pub const MAPS_MAX: usize = 512;

/// Octets that all location maps of a table may take.
pub const MAPS_LEN_MAX: usize = 1 << 30;

/// Outcomes of one map: (region, order of the nearest data centres).
pub const MAP_OUTCOMES_MAX: usize = 65_535;

/// Data centres of one pool in a compiled `nearest` order; what lies behind them is tried by id.
pub const NEAREST_ORDER_LEN: usize = 4;

/// GeoIP databases that can be layered.
pub const GEOIP_LAYERS_MAX: usize = 8;

/// The largest GeoIP database read, in octets.
pub const GEOIP_LEN_MAX: u64 = 1 << 30;

/// Nodes of a GeoIP database's search tree visited by its walk, for each node that it says it has. A tree
/// visits each once; writers that share equal branches visit some more; a cycle visits without end.
pub const GEOIP_STEPS_PER_NODE_MAX: u64 = 4;

/// Visits that even a tiny search tree may take: one whose equal branches are all shared.
pub const GEOIP_STEPS_MIN: u64 = 1 << 16;

/// Networks of one family in one GeoIP database; the largest city files have 4 million. 20 octets each.
pub const GEOIP_NETWORKS_MAX: usize = 32 << 20;

/// Entries in one map or list of a GeoIP record; the richest have two dozen. Without it a small file of
/// shared maps could keep a load busy for hours.
pub const GEOIP_RECORD_ENTRIES_MAX: usize = 256;

/// How deep the fields of a GeoIP record that are read may nest; GeoIP2 needs 4.
pub const GEOIP_RECORD_DEPTH_MAX: usize = 6;

/// Octets in the name of a place or provider; longer ones are taken for garbage and left out.
pub const PLACE_TEXT_LEN_MAX: usize = 256;

/// Names of the loaded data that "did you mean" looks through.
pub const GAZETTEER_NAMES_MAX: usize = 100_000;

/// Sites that one `nearest` order chooses among: their positions are octets, and 0xff is padding.
pub const NEAREST_SITES_MAX: usize = 255;

/// Lines of one CSV file that `geo import` reads: a full city database has 6.3 million networks.
pub const GEOIP_ROWS_MAX: usize = 16_000_000;

/// The largest policy file, in octets.
pub const POLICY_FILE_LEN_MAX: u64 = 64 << 20;

/// The largest master file, in octets; a million names take about 60 MB.
pub const ZONE_FILE_LEN_MAX: u64 = 4 << 30;

/// How deep `$INCLUDE` may nest.
pub const INCLUDE_DEPTH_MAX: usize = 8;

/// Files that one master file may include, in all; together they are bounded by [`ZONE_FILE_LEN_MAX`].
pub const INCLUDE_FILES_MAX: usize = 4096;

/// Octets in one entry of a master file: the longest record data, each octet as `\DDD`, and as much again
/// for layout. What is longer is a parenthesis that was never closed.
pub const ZONE_ENTRY_LEN_MAX: usize = 8 * MESSAGE_LEN_MAX;

/// Unclosed parentheses after which the rest of a master file is not read: each costs a second look at up to
/// [`ZONE_ENTRY_LEN_MAX`] octets.
pub const ZONE_UNCLOSED_MAX: usize = 16;

/// How deep a YAML document may nest.
pub const YAML_DEPTH_MAX: usize = 64;

/// Nodes in one YAML document, aliases counted as often as they are used.
pub const YAML_NODES_MAX: usize = 5_000_000;

/// Health checks, shared ones and those of single services: their indices have 16 bits.
pub const CHECKS_MAX: usize = 65_535;

/// The shortest interval between probes: ten a second an address is what a small back end bears.
pub const CHECK_INTERVAL_MIN_MS: u64 = 100;

/// The longest interval between probes, and the longest a probe may take: what is looked at less often
/// is not watched.
pub const CHECK_INTERVAL_MAX_MS: u64 = 3_600_000;

/// Consecutive results that a check may ask for before it believes them.
pub const CHECK_THRESHOLD_MAX: u64 = 100;

/// Results that `fail_ratio` may look back on.
pub const FAIL_RATIO_WINDOW_MAX: usize = 1000;

/// Octets of one text of a probe: what it sends, looks for, or says in a header field. Any marker fits; a
/// whole page does not belong into a policy.
pub const PROBE_TEXT_LEN_MAX: usize = 4096;

/// Header fields that a probe adds to its request.
pub const PROBE_HEADERS_MAX: usize = 32;

/// Status codes, ranges and JSON fields that one probe compares with.
pub const PROBE_CONDITIONS_MAX: usize = 32;

/// Redirects that a probe may follow: what needs more is broken.
pub const PROBE_REDIRECTS_MAX: u64 = 5;

/// How long before its end a certificate may be complained of: as long as public ones are ever valid.
pub const CERTIFICATE_WARNING_MAX_MS: u64 = 398 * 86_400_000;

/// Addresses that belong to no data centre and show that this node is not blind: three networks with two each
/// are plenty.
pub const WITNESSES_MAX: usize = 16;

/// Entries of `health.address_map`.
pub const ADDRESS_MAP_MAX: usize = 10_000;

/// Grants to callers without credentials, and networks and calls in one of them.
pub const ANONYMOUS_GRANTS_MAX: usize = 64;

/// Probes in flight at once, as far as the limit of open files allows: 10 000 targets that all begin to hang
/// within one interval have 30 000 out, until each has failed three times.
pub const PROBES_IN_FLIGHT_MAX: usize = 32_768;

/// Open files that are left to the rest of the process, when the limit of open files is what bounds the probes:
/// the front doors' listeners, the store, the API, and some hundreds of TCP clients.
pub const PROBES_LEAVE_FILES: u64 = 1024;

/// Threads that carry probes: an exchange in the clear costs some 100 µs, so that two carry 10 000 targets at 5 s
/// several times over, and answers keep the other processors.
pub const PROBE_THREADS_MAX: usize = 2;

/// Threads of probes that read files and look into large bodies.
pub const PROBE_BLOCKING_THREADS_MAX: usize = 4;

/// Questions about targets that wait for the prober. Each is answered between two turns.
pub const PROBER_ASKS_MAX: usize = 64;

/// Reports of targets made between two turns of the prober: half a millisecond's work.
pub const PROBER_REPORTS_AT_ONCE: usize = 128;

/// How long a stop waits for the prober. What is out is dropped, so that is only the time of one turn.
pub const PROBER_CLOSE_MS: u64 = 3_000;

/// Stalls of this process that are remembered, to tell whether a probe that took too long was given its time.
pub const PROBE_STALLS_KEPT: usize = 64;

/// Probes of one target in flight at once: the confirming ones, `fast_interval` apart, until the first times
/// out.
pub const PROBES_PER_TARGET_MAX: usize = 8;

/// Distinct targets that one node probes.
pub const TARGETS_MAX: usize = 200_000;

/// Octets of a response's body that a probe reads; what it looks for must stand in them.
pub const PROBE_BODY_LEN_MAX: usize = 256 << 10;

/// Octets of a response's header that a probe reads.
pub const PROBE_HEAD_LEN_MAX: usize = 32 << 10;

/// Octets of a compiled regular expression of a probe.
pub const PROBE_REGEX_LEN_MAX: usize = 1 << 20;

/// Characters of a probe's error that are kept: enough to say what went wrong, whatever a target sent.
pub const PROBE_ERROR_LEN_MAX: usize = 256;

/// Bodies up to this many octets are looked into on the spot; longer ones on a thread that may take its time,
/// so that no target's megabyte of JSON makes another's probe late.
pub const PROBE_BODY_INLINE_LEN: usize = 16 << 10;

/// Octets of what a TCP peer says first that a probe reads; what it expects must stand in them.
pub const PROBE_EXPECT_LEN_MAX: usize = 16 << 10;

/// Octets of a gRPC health answer that a probe reads: it takes seven.
pub const PROBE_GRPC_LEN_MAX: usize = 4 << 10;

/// Addresses of a name that one probe tries, each with its share of the time that is left.
pub const PROBE_ADDRESSES_MAX: usize = 4;

/// Compiled regular expressions that probes keep, the least recently used given up first.
pub const PROBE_REGEXES_MAX: usize = 1024;

/// Private CAs, and client certificates, that probes keep in memory, the least recently used given up first.
pub const PROBE_CERTIFICATES_MAX: usize = 1024;

/// How long a certificate file is believed before a probe looks whether it has changed.
pub const PROBE_FILES_RECHECK_S: u64 = 5;

/// Results of a target that are kept for people to look at.
pub const PROBE_RESULTS_KEPT: usize = 32;

/// Octets of a UDP answer that a probe or the resolver reads; more than EDNS asks for, since servers err.
pub const PROBE_DATAGRAM_LEN_MAX: usize = 4096;

/// Datagrams that do not belong to a question and are passed over while its answer is awaited: who sends more
/// is not going to answer.
pub const PROBE_DATAGRAMS_PASSED_MAX: usize = 64;

/// Names of targets whose addresses are remembered. Each takes well under 1 kB.
pub const RESOLVED_NAMES_MAX: usize = 16_384;

/// Addresses of one name that are remembered.
pub const RESOLVED_ADDRESSES_MAX: usize = 16;

/// Questions to resolvers under way at once.
pub const RESOLVE_IN_FLIGHT_MAX: usize = 64;

/// Resolvers asked, as in every stub resolver.
pub const RESOLVERS_MAX: usize = 3;

/// How long one resolver is waited for before the next is asked.
pub const RESOLVE_ATTEMPT_MS: u64 = 700;

/// How long all resolvers together are waited for.
pub const RESOLVE_TIMEOUT_MS: u64 = 2800;

/// How long a probe waits for fresh addresses when older ones are known: a silent resolver must not look like a
/// slow target.
pub const RESOLVE_PATIENCE_MS: u64 = 200;

/// Addresses are asked for again no sooner, whatever their TTL.
pub const RESOLVED_TTL_MIN_S: u64 = 1;

/// Addresses are asked for again no later, whatever their TTL: a target that has moved is noticed.
pub const RESOLVED_TTL_MAX_S: u64 = 60;

/// How long "there is no such name" and a failure to learn addresses are believed.
pub const RESOLVED_NEGATIVE_S: u64 = 2;

/// How long addresses are used after the resolver last confirmed them.
pub const RESOLVED_STALE_S: u64 = 3600;

/// How long the resolvers must have answered nothing at all to be called failing.
pub const RESOLVER_FAILING_S: u64 = 5;

/// How often the system's list of resolvers and its hosts file are read again.
pub const RESOLVER_FILES_S: u64 = 10;

/// Octets read of the system's list of resolvers, and of its hosts file.
pub const RESOLVER_FILE_LEN_MAX: u64 = 1 << 20;

/// Network interfaces that are looked at to tell whether this node's link is up.
pub const LINKS_MAX: usize = 4096;

/// Open connections of one stand-in data centre of the demo; more wait to be accepted. One that says nothing
/// keeps each probe until it times out: 300 targets probed thrice.
pub const STAND_IN_CONNECTIONS_MAX: usize = 1024;

/// How long a stand-in keeps a connection at most, silent or not.
pub const STAND_IN_CONNECTION_S: u64 = 30;

/// How long a stand-in that is slow takes: longer than the 2 s that a careful `max_response` allows, shorter than
/// the usual time limit of 3 s.
pub const STAND_IN_SLOW_MS: u64 = 2500;

/// How long a stand-in's TCP port listens to what a peer has to say before it closes.
pub const STAND_IN_LISTENS_MS: u64 = 1000;

/// Certificates that the stand-ins keep, one a server name. What is more is signed again.
pub const STAND_IN_CERTIFICATES_MAX: usize = 1024;

/// How long a stand-in waits before it tries again to open its ports.
pub const STAND_IN_RETRY_MS: u64 = 100;

/// How long an order to a stand-in waits to be carried out before it says that it was not.
pub const STAND_IN_OBEYS_MS: u64 = 3000;

/// Response times of a target that percentiles are made from.
pub const PROBE_TIMES_KEPT: usize = 100;

/// Data centres asked by one look around, whether anything else answers: one that does is enough.
pub const LOOK_DATACENTERS_MAX: usize = 16;

/// Targets asked in each of them: one of two may be failing by itself.
pub const LOOK_TARGETS: usize = 2;

/// Targets of a data centre that are passed over in search of those.
pub const LOOK_SEARCH_MAX: usize = 64;

/// Starts of successes that are kept as proof of sight, the latest: at one for each 10 ms, 40 s.
pub const PROOFS_KEPT: usize = 4096;

/// Falls of an address that are remembered within the flap window: the longest hold-down is reached long before.
pub const FALLS_KEPT: usize = 64;

/// Reports of other observers that are kept: one for each of an observer's results, so ten observers of
/// every address of a large deployment. More are refused.
pub const REPORTS_MAX: usize = 1_000_000;

/// Reports in one batch of an observer.
pub const REPORT_BATCH_MAX: usize = 10_000;

/// The longest that a report may count without being renewed.
pub const REPORT_TTL_MAX_S: u64 = 86_400;

/// The same where this node probes, too: what an observer saw minutes ago must not outvote what is seen now.
pub const REPORT_TTL_PROBED_MAX_S: u64 = 300;

/// Events that may wait for control; more are refused, and whoever sent them is told. Health does not wait here:
/// it is folded.
pub const CONTROL_INBOX_LEN: usize = 1024;

/// Latches that are kept, those of services that no file names any more included: three regions of every service
/// at the largest.
pub const LATCHES_MAX: usize = 1_000_000;

/// Generations that health makes at once, before the next one waits for its turn ([`HEALTH_PACE_MS`]). The falls of
/// a few data centres with a few endpoints each are fewer, so they never wait.
pub const HEALTH_BURST: u32 = 8;

/// In a storm (thousands of endpoints that fall one by one, as their probes come round) health makes a generation so
/// often, and what happens between is one. Added to the worst case of noticing, 9.5 s, it stays below the 10 s.
pub const HEALTH_PACE_MS: u64 = 250;

/// Moves of clients that status remembers.
pub const MOVES_KEPT: usize = 256;

/// Lines of one kind that one event may log; what is more is summed up in one.
pub const LOG_LINES_PER_EVENT: usize = 20;

/// Octets of one file of the journal, which is as long as this from its first moment: what a file carries over
/// from the one before, and [`JOURNAL_ORDERS_RESERVED`] orders.
pub const JOURNAL_SEGMENT_LEN: u64 = 24 << 20;

/// Orders that the journal has room for on a full disk.
pub const JOURNAL_ORDERS_RESERVED: u64 = 10_000;

/// Octets of an ordinary order in the journal, its answer and two hashes included.
pub const JOURNAL_ORDER_LEN: u64 = 1536;

/// Octets of one line of the journal. An order that names 5 000 services takes as much.
pub const JOURNAL_LINE_LEN_MAX: usize = 256 << 10;

/// Octets that are written to the journal at once: what waits is made durable together.
pub const JOURNAL_BATCH_LEN_MAX: usize = 1 << 20;

/// Orders that are made durable together.
pub const JOURNAL_BATCH_ORDERS_MAX: usize = 256;

/// Octets at the end of a journal file where only the taking back of a batch may be written.
pub const JOURNAL_VOID_LEN: u64 = 8 << 10;

/// Files of the journal that are kept: 288 MiB, about 300 000 entries.
pub const JOURNAL_SEGMENTS_KEPT: u64 = 12;

/// Orders that wait for the journal; a failover script sends one.
pub const STORE_ORDERS_WAITING_MAX: usize = 1024;

/// Entries of the audit log that wait for the journal. What is more is counted, and the count written.
pub const STORE_NOTES_WAITING_MAX: usize = 4096;

/// Octets of all standing orders in the journal: every file begins with them.
pub const STANDING_LEN_MAX: usize = 2 << 20;

/// Answered requests that are remembered, by their keys.
pub const IDEMPOTENCY_KEYS_MAX: usize = 10_000;

/// Octets of the answered requests in the journal: every file carries them over.
pub const IDEMPOTENCY_LEN_MAX: usize = 4 << 20;

/// How long an answered request is remembered.
pub const IDEMPOTENCY_KEPT_S: u64 = 86_400;

/// Octets of an idempotency key, as a request gives it.
pub const IDEMPOTENCY_KEY_LEN_MAX: usize = 256;

/// The same under the identity that sent it.
pub const IDEMPOTENCY_SCOPED_LEN_MAX: usize = IDEMPOTENCY_KEY_LEN_MAX + API_TEXT_LEN_MAX + 1;

/// Generations that are reserved at once, so that a restart never repeats one: days of constant change.
pub const GENERATIONS_RESERVED: u64 = 1_000_000;

/// How long an order may be in the journal's hands. With [`STORE_VOID_GRACE_MS`] it is answered within 5 s.
pub const STORE_ORDER_MS: u64 = 3_000;

/// Every order is answered within 5 s (INTERFACE), whatever the disk does: after so long without its word.
pub const ORDER_ANSWER_MS: u64 = 4_500;

/// How long the refusal of an order may wait, after its time is up, for what takes it back to be written.
pub const STORE_VOID_GRACE_MS: u64 = 1_000;

/// Between two writings of last known health.
pub const STORE_KEEP_EVERY_MS: u64 = 200;

/// Entries of the audit log wait this long for company, or for an order, before they are written.
pub const STORE_NOTES_EVERY_MS: u64 = 200;

/// Between two attempts to write again to a disk that failed.
pub const STORE_RETRY_MS: u64 = 5_000;

/// How long a start waits for the disk before it goes on without the store.
pub const STORE_OPEN_MS: u64 = 10_000;

/// How long a stop waits for the disk.
pub const STORE_CLOSE_MS: u64 = 3_000;

/// Octets of one file of latches or of last known health: [`TARGETS_MAX`] of 200 octets, and room to spare.
pub const KEPT_FILE_LEN_MAX: u64 = 64 << 20;

/// Entries of the audit log in one answer.
pub const HISTORY_ENTRIES_MAX: usize = 10_000;

/// Octets of the log that make one answer, but for its last entry.
pub const HISTORY_LEN_MAX: usize = 4 << 20;

/// Files of the log that are read for one answer: it then says where to go on.
pub const HISTORY_FILES_MAX: usize = 2;

/// Files of the log whose lines are all older by so much than what is asked for are not read: clocks are set back.
pub const HISTORY_CLOCK_SLACK_S: u64 = 3_600;

/// The longest delay that a policy may ask for (`after`, `failback`): a week, as for [`TTL_MAX_S`].
pub const DELAY_MAX_MS: u64 = 604_800_000;

/// Files read from one directory: a service each, and the shared ones.
pub const DIRECTORY_FILES_MAX: usize = SERVICES_MAX + 10_000;

/// Octets read from one directory, all files together.
pub const DIRECTORY_LEN_MAX: u64 = 8 << 30;

/// Names compared by one load in search of the nearest: suggestions must not cost more than the load.
pub const NEAREST_COMPARISONS_MAX: usize = 2_000_000;

/// The largest server configuration file, in octets.
pub const CONFIG_FILE_LEN_MAX: u64 = 1 << 20;

/// Diagnostics reported by one load; more are counted, not listed.
pub const DIAGNOSTICS_MAX: usize = 200;

/// Characters in an id (endpoint, data centre, region, check).
pub const ID_LEN_MAX: usize = 128;

/// Open TCP and TLS connections, in all.
pub const STREAM_CONNECTIONS_MAX: usize = 4096;

/// Open TCP connections of one client address.
pub const STREAM_CONNECTIONS_PER_CLIENT_MAX: usize = 64;

/// Octets of finished answers that may wait for a slow TCP reader before we stop reading its queries.
pub const STREAM_BACKLOG_LEN_MAX: usize = 64 << 10;

/// How long a TCP connection may be idle (RFC 7766 §6.2.3).
pub const STREAM_IDLE_S: u64 = 10;

/// How long one write to a TCP peer may take.
pub const STREAM_WRITE_S: u64 = 5;

/// Octets of a TCP connection's read buffer while queries are small; it grows to one message when a longer
/// one is announced, and shrinks again.
pub const STREAM_READ_LEN: usize = 2048;

/// The idle time of TCP connections while more than three quarters of [`STREAM_CONNECTIONS_MAX`] are open
/// (RFC 7766 §6.2.3 lets a server under load close sooner): idlers can not keep others out for long.
pub const STREAM_IDLE_CROWDED_S: u64 = 1;

/// Threads that carry TCP connections. Streams are a small part of DNS traffic, and UDP workers come first.
pub const STREAM_THREADS_MAX: usize = 4;

/// Connections that the kernel may hold for us before we accept them.
pub const STREAM_ACCEPT_QUEUE_LEN: u32 = 1024;

/// Octets of kernel buffer asked for, each way, of a UDP socket; the kernel gives what `net.core.rmem_max`
/// and `wmem_max` allow. About 5 000 small queries: 10 ms of a worker's work.
pub const UDP_SOCKET_BUFFER_LEN: usize = 4 << 20;

/// How long a UDP worker waits for a query before it looks around: it lets go of a table that is no longer
/// the newest, and notices a stop where the kernel did not wake it.
pub const UDP_IDLE_TURN_S: u64 = 1;

/// The longest that a UDP worker may be told to go on asking for queries before it sleeps: nearly always awake.
pub const UDP_BUSY_POLL_MAX_MS: u64 = 60_000;

/// How long the kernel itself may look into an interface's queue, in microseconds, for a worker that does not
/// sleep: what `net.core.busy_read` recommends.
pub const UDP_KERNEL_BUSY_POLL_US: u32 = 50;

/// Octets of replies that leave as one group, to be cut by the kernel: what an IPv6 datagram takes.
pub const UDP_GROUP_LEN_MAX: usize = 65_535 - 40 - 8;

/// Batches that leave reply by reply after the kernel refused a group and took its replies: some interface can not
/// cut, and asking it each time would cost more than grouping gains elsewhere.
pub const UDP_UNGROUPED_BATCHES: u32 = 4096;

/// Batches that a UDP worker still answers from its socket's queue once it was told to stop.
pub const UDP_DRAIN_BATCHES: usize = 16;

/// Ports tried, when any will do, until one is free for UDP and TCP alike.
pub const PORT_ATTEMPTS: usize = 32;

/// How long closing the doors may take. A little more than [`STREAM_WRITE_S`], so that a reader who is
/// merely slow still gets its answers.
pub const DOORS_CLOSE_S: u64 = 6;

/// The largest certificate or key file, in octets; a long chain takes about 10 kB.
pub const CERTIFICATE_FILE_LEN_MAX: u64 = 1 << 20;

/// Worker threads.
pub const WORKERS_MAX: usize = 256;

/// Recent queries that each reader of tables keeps: 256 kB. With [`RECENT_QUERY_EVERY_MS`] more than a minute.
pub const RECENT_QUERIES: usize = 8_192;

/// How often a reader may keep a query, on average: every one up to 125 a second, and at full load a ring that spans
/// 65 s.
pub const RECENT_QUERY_EVERY_MS: u64 = 8;

/// Recent queries that the impact of an order is judged by: to half a percent, in less than a millisecond.
pub const RECENT_QUERIES_JUDGED: usize = 8_192;

/// Queries longer ago say little about those to come.
pub const RECENT_QUERIES_S: u64 = 900;

/// Sets of files, read one after the other, whose sampled queries are still told apart.
pub const RECENT_BASES_MAX: usize = 4;

/// Listening addresses.
pub const LISTENERS_MAX: usize = 256;

/// NSID in octets (RFC 5001 leaves it open); small, so that it never costs an answer its place.
pub const NSID_LEN_MAX: usize = 64;

/// Series of one metric on the page that is scraped: what a Prometheus server takes from one target without
/// a word. With more endpoints their data centres' numbers remain.
pub const METRIC_SERIES_MAX: usize = 10_000;

/// Things that happened, that a follower who was away for a while finds: minutes of a storm, days of an ordinary life.
pub const EVENTS_KEPT: usize = 4_096;

/// Characters of an event's sentence: what is refused may name many, and [`EVENTS_KEPT`] are kept.
pub const EVENT_TEXT_LEN_MAX: usize = 2_048;

/// Followers at once: a few dashboards and watchers; each holds a connection of the API.
pub const EVENT_STREAMS_MAX: usize = 24;

/// Events that are written to a follower at once.
pub const EVENTS_AT_ONCE_MAX: usize = 64;

/// Such pieces that wait for one follower; what is behind them waits in the ring, for all.
pub const EVENTS_WAITING_MAX: usize = 4;

/// Between two signs of life on a quiet stream: proxies give up after 30 to 60 s.
pub const EVENTS_HEARTBEAT_S: u64 = 10;

/// How long a refused order waits for somebody to look, unless an order that was carried out says that somebody has.
pub const REFUSAL_SHOWN_S: u64 = 3_600;

/// Refused orders that are shown so.
pub const REFUSALS_SHOWN_MAX: usize = 5;

/// Entries of the audit log in one answer of the API, and the number when none is asked for.
pub const API_HISTORY_MAX: usize = 1_000;

/// The audit log is read by as many at once: each may be held up by a disk.
pub const API_HISTORY_READERS_MAX: usize = 2;

/// Open connections of the API, in all: people, dashboards and automation, not clients.
pub const API_CONNECTIONS_MAX: usize = 256;

/// Open connections of the API from one address; a browser opens 6.
pub const API_CONNECTIONS_PER_CLIENT_MAX: usize = 32;

/// How long a request's header may take to arrive, and a connection may be without a request.
pub const API_HEADER_S: u64 = 10;

/// How long an answer may make no progress on its way to a slow client.
pub const API_WRITE_S: u64 = 5;

/// How long a request may take, from its header to the beginning of its answer: INTERFACE promises an order's
/// outcome within it.
pub const API_REQUEST_S: u64 = 5;

/// How long `?wait=expired` waits unless it says otherwise: a few answer TTLs.
pub const API_WAIT_S: u64 = 60;

/// The longest that it may ask for: proxies and load balancers cut off what is silent for longer.
pub const API_WAIT_MAX_S: u64 = 300;

/// Requests that wait at once; each holds one of [`API_CONNECTIONS_MAX`].
pub const API_WAITING_MAX: usize = 64;

/// How much of that the body may take to arrive.
pub const API_BODY_S: u64 = 3;

/// How long stopping waits for requests in hand: a little longer than one may take.
pub const API_CLOSE_S: u64 = 6;

/// Octets of a request's header.
pub const API_HEADER_LEN_MAX: usize = 16 << 10;

/// Header fields of a request.
pub const API_HEADERS_MAX: usize = 64;

/// Octets of a request's body.
pub const API_BODY_LEN_MAX: usize = 64 << 10;

/// The same for reports in a batch: 5 000 of 200 octets, or [`REPORT_BATCH_MAX`] of 100.
pub const API_BATCH_LEN_MAX: usize = 1 << 20;

/// Services in one answer unless the request asks for another number, and the most it may ask for.
pub const API_SERVICES_MAX: usize = 1_000;

/// Places that are looked at to say what a region with `nearest` gets.
pub const API_PLACES_MAX: usize = 64;

/// Octets of a token file: 10 000 tokens.
pub const TOKEN_FILE_LEN_MAX: u64 = 4 << 20;

/// Tokens in a file: each is compared with what a client shows.
pub const TOKENS_MAX: usize = 10_000;

/// Clients whose failed attempts are remembered.
pub const API_FAILURES_KEPT: usize = 4_096;

/// A reload that has been reading files for so long is alarmed: ten thousand services take a few seconds.
pub const RELOAD_SLOW_MS: u64 = 30_000;

/// By so much the reading of files gives way to answers, orders and probes: where others keep a processor busy it gets a
/// tenth of it, so a reload takes ten times as long there at most, and elsewhere no longer than ever.
pub const RELOAD_NICENESS: i32 = 10;

/// Reloads that wait for one that is still reading files; the next reading answers all of them.
pub const RELOADS_WAITING_MAX: usize = 64;

/// Orders that wait while another is in the journal's hands: far more than are answered in time.
pub const ORDERS_QUEUED_MAX: usize = 256;

/// Answers to requests with a key that the journal does not hold, because nothing changed or nothing is stored.
pub const ANSWERS_REMEMBERED: usize = 256;

/// How long until an order whose time is over, and that could not end without making things worse, is tried again.
pub const EXPIRY_RETRY_MS: u64 = 10_000;

/// Standing orders at once: with a few hundred octets each they fit [`STANDING_LEN_MAX`], and every plan looks at them.
pub const STANDING_ORDERS_MAX: usize = 2_000;

/// Services that one order may name; all of them it names by naming none.
pub const ORDER_SERVICES_MAX: usize = 2_000;

/// How long an order may say that it stands: beyond it an expiry is a slip, and times end.
pub const EXPIRES_IN_MAX_S: u64 = 10 * 365 * 86_400;

/// Octets of each list (services, changes, warnings …) in an answer that is kept for a repetition. With them all it is
/// below 10 KiB: [`IDEMPOTENCY_LEN_MAX`] holds four hundred such, and thousands of ordinary ones.
pub const ANSWER_LIST_LEN_MAX: usize = 1536;

/// Octets of what an order came to, beyond which the journal has it in the order's own words alone.
pub const DEED_LEN_MAX: usize = JOURNAL_LINE_LEN_MAX / 16;

/// Services by name up to which a switch of the last minutes that was taken back is remembered; beyond, it counts as one
/// of all services.
pub const RECENT_NAMES_MAX: usize = 64;

/// Orders whose ending of latches is known until the latches themselves are stored.
pub const RELEASES_KEPT: usize = 64;

/// Services that a failback left out, up to which it is remembered.
pub const RELEASE_EXCEPTIONS_MAX: usize = 1_000;

/// Orders that can be undone.
pub const ORDERS_PAST_KEPT: usize = 32;

/// Octets of what an order changed, beyond which it can not be undone. An order's line has the names of its services up
/// to three times (as they were said, as they stand, and of what stood before), each time in a request's body's length.
pub const ORDER_PAST_LEN_MAX: usize = 80 << 10;

/// Octets of all that the book has in the store. Beyond it nothing more may stand; what is left up to
/// [`STANDING_LEN_MAX`] is for taking back.
pub const BOOK_LEN_MAX: usize = STANDING_LEN_MAX - (256 << 10);

/// Octets of what services left in their own way; see [`LEFT_SERVICES_MAX`].
pub const LEFT_LEN_MAX: usize = 48 << 10;

/// How long after a switch another actor may not order another data centre.
pub const CONTENDED_S: u64 = 300;

/// Switches of the last [`CONTENDED_S`] that are remembered.
pub const RECENT_SWITCHES_MAX: usize = 64;

/// How long a pin may stand.
pub const PIN_MAX_S: u64 = 86_400;

/// Services that a switch left in their own way, which are told apart; beyond it all count as having left all of it.
pub const LEFT_SERVICES_MAX: usize = 1_000;

/// Changes that the impact of an order lists one by one.
pub const IMPACT_CHANGES_MAX: usize = 1_000;

/// Changes of one kind that a comparison of files lists; the others are counted.
pub const DIFF_LISTED_MAX: usize = 1_000;

/// Names in one warning.
pub const WARNING_NAMES_MAX: usize = 10;

/// The wall clock may run this far from the monotonic one before expiries wait for a person.
pub const CLOCK_JUMP_S: u64 = 60;

/// Characters of a reason, an actor or a detail that a request may give.
pub const API_TEXT_LEN_MAX: usize = 1_024;

/// The longest that an order may stand when it says how long: ten years. What is meant for ever says nothing.
pub const ORDER_EXPIRY_MAX_S: u64 = 10 * 365 * 86_400;

/// How long an outside report counts when it says nothing of it.
pub const REPORT_TTL_DEFAULT_S: u64 = 30;

/// Octets of an answer that a client command reads.
pub const CLIENT_BODY_LEN_MAX: usize = 64 << 20;

/// How long a client command tries to reach a server with an order: it may be starting.
pub const CLIENT_REACH_S: u64 = 3;

/// How long an order that was sent, and of which nothing is known, is sent again, under the same key.
pub const CLIENT_RETRY_S: u64 = 20;

/// The longest pause between two attempts.
pub const CLIENT_PAUSE_MAX_MS: u64 = 2_000;

/// How long a client command waits for a server: more than [`API_REQUEST_S`], so that its word is heard.
pub const CLIENT_TIMEOUT_S: u64 = 8;

const _: () = assert!(UDP_RESPONSE_LEN_MIN <= UDP_RESPONSE_LEN_DEFAULT);
const _: () = assert!(UDP_RESPONSE_LEN_DEFAULT <= UDP_RESPONSE_LEN_MAX);
const _: () = assert!(UDP_RESPONSE_LEN_MAX <= MESSAGE_LEN_MAX);
const _: () = assert!(CLIENT_NODATA_TTL_MAX_S <= TTL_DEFAULT_S);
const _: () = assert!(ENDPOINTS_MAX <= PLAN_VARIANTS_MAX);
const _: () = assert!(MAP_OUTCOMES_MAX <= u16::MAX as usize);
const _: () = assert!(CHUNK_SERVICES * SERVICE_RECORDS_LEN_MAX <= u32::MAX as usize);
const _: () = assert!(CHECKS_MAX <= u16::MAX as usize);
const _: () = assert!(DATACENTERS_MAX <= u16::MAX as usize);
const _: () = assert!(REGIONS_MAX <= u16::MAX as usize);
const _: () = assert!(STREAM_WRITE_S < DOORS_CLOSE_S);
const _: () = assert!(STREAM_READ_LEN >= UDP_RESPONSE_LEN_MIN && STREAM_READ_LEN < MESSAGE_LEN_MAX);
const _: () = assert!(STREAM_CONNECTIONS_PER_CLIENT_MAX < STREAM_CONNECTIONS_MAX);
const _: () = assert!(STREAM_IDLE_CROWDED_S <= STREAM_IDLE_S);
const _: () = assert!(STREAM_THREADS_MAX < WORKERS_MAX);
const _: () = assert!(RECENT_QUERIES.is_multiple_of(128));
const _: () = assert!(RECENT_QUERIES as u64 * RECENT_QUERY_EVERY_MS > 60_000);
const _: () = assert!(RESOLVED_TTL_MIN_S <= RESOLVED_NEGATIVE_S && RESOLVED_NEGATIVE_S < RESOLVER_FAILING_S);
const _: () = assert!(RESOLVED_TTL_MAX_S < RESOLVED_STALE_S);
const _: () = assert!(RESOLVE_PATIENCE_MS < RESOLVE_ATTEMPT_MS && RESOLVE_ATTEMPT_MS < RESOLVE_TIMEOUT_MS);
const _: () = assert!(PROBE_DATAGRAM_LEN_MAX >= UDP_RESPONSE_LEN_DEFAULT && PROBE_DATAGRAM_LEN_MAX <= MESSAGE_LEN_MAX);
const _: () = assert!(STAND_IN_RETRY_MS < STAND_IN_OBEYS_MS && STAND_IN_SLOW_MS < STAND_IN_CONNECTION_S * 1000);
const _: () = assert!(PROBE_HEAD_LEN_MAX >= 8192, "hyper's least buffer");
const _: () = assert!(PROBE_BODY_INLINE_LEN <= PROBE_BODY_LEN_MAX);

const _: () = assert!(
    (STANDING_LEN_MAX + IDEMPOTENCY_LEN_MAX) as u64 + JOURNAL_ORDERS_RESERVED * JOURNAL_ORDER_LEN + JOURNAL_VOID_LEN
        < JOURNAL_SEGMENT_LEN
);
const _: () = assert!(2 * API_BODY_LEN_MAX + ORDER_PAST_LEN_MAX + 8 * ANSWER_LIST_LEN_MAX < JOURNAL_LINE_LEN_MAX);
const _: () = assert!(JOURNAL_LINE_LEN_MAX <= JOURNAL_BATCH_LEN_MAX);
const _: () = assert!(JOURNAL_BATCH_ORDERS_MAX as u64 * 21 + 1024 <= JOURNAL_VOID_LEN);
const _: () = assert!(STORE_ORDER_MS + STORE_VOID_GRACE_MS < ORDER_ANSWER_MS);
const _: () = assert!(ORDER_ANSWER_MS < API_REQUEST_S * 1_000);

const _: () = assert!(API_BODY_S < API_REQUEST_S);
const _: () = assert!(API_REQUEST_S < API_CLOSE_S);
const _: () = assert!(API_WAIT_S <= API_WAIT_MAX_S && API_WAITING_MAX < API_CONNECTIONS_MAX);
const _: () = assert!(API_REQUEST_S < CLIENT_TIMEOUT_S);
const _: () = assert!(CLIENT_TIMEOUT_S < CLIENT_RETRY_S && CLIENT_REACH_S < CLIENT_RETRY_S);
const _: () = assert!(EVENT_STREAMS_MAX < API_CONNECTIONS_PER_CLIENT_MAX);
const _: () = assert!(API_HISTORY_MAX <= HISTORY_ENTRIES_MAX && HISTORY_LEN_MAX < CLIENT_BODY_LEN_MAX);
const _: () = assert!(API_CONNECTIONS_PER_CLIENT_MAX < API_CONNECTIONS_MAX);
const _: () = assert!(API_BODY_LEN_MAX <= API_BATCH_LEN_MAX);
const _: () = assert!(REPORT_TTL_DEFAULT_S <= REPORT_TTL_PROBED_MAX_S && REPORT_TTL_PROBED_MAX_S <= REPORT_TTL_MAX_S);
