//! The only unsafe code: batched datagrams and socket options.
