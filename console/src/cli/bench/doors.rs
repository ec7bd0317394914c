//! `gatehouse bench doors`: the decision at a door, in memory, beside a look-up of the same size in a hash map.
