//! How much of everything: limits that no configuration changes.

/// Most patches of one object (published). Reading all of them costs as much as they are many: put the object anew instead.
pub const PATCHES_MAX: usize = 1000;

/// Most objects that a cache knows, in memory or on disk.
pub const OBJECTS_MAX: u64 = 1_000_000;

/// Most bytes of one part: what Arrow's 32-bit offsets reach, with room for what is sent around them.
pub const PART_BYTES_MAX: u64 = (1 << 31) - (1 << 20);

/// Most messages of one object of native Arrow: batches and dictionaries.
pub const MESSAGES_MAX: usize = 100_000;

/// Bytes of one chunk of a reply.
pub const CHUNK_BYTES: usize = 1 << 20;

/// Most bytes of one message around the payload in it.
pub const MESSAGE_SLACK_BYTES: usize = 1 << 20;

/// Most bytes of the word that says of which type an object's bytes are.
pub const DATA_TYPE_BYTES_MAX: usize = 64;

/// Most objects of one page of a listing.
pub const PAGE_MAX: usize = 1000;

/// Pieces shorter than this are copied together: each would keep alive the whole message that it came in.
pub const PIECE_BYTES_MIN: usize = 64 << 10;

/// Most bytes of an object, or of a part of one, that travels in a message of the arena and not in its memory. Each object
/// in the memory takes whole pages, and two messages more.
pub const ARENA_INLINE_MAX: usize = 64 << 10;

/// Most bytes of all parts of an object that travel in one such message.
pub const ARENA_DATA_MAX: u64 = 1 << 20;

/// Most bytes of a message of the arena: data, and what is around it.
pub const ARENA_FRAME_BYTES_MAX: usize = 2 << 20;

/// Most objects that a client of the arena holds at a time.
pub const ARENA_HELD_MAX: usize = 65_536;

/// Most connections to the arena.
pub const ARENA_CONNECTIONS_MAX: usize = 4096;

/// Most connections.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Most calls of one connection that are answered at a time.
pub const CALLS_MAX: usize = 256;
