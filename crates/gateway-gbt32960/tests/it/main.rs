//! The platform's side as vehicles meet it: over sockets, with frames in pieces and glued, before a store that takes its
//! time. Frames are put together by hand: what the codec makes of them is tested where it is.

mod house;
mod orders;
mod platform;
mod secured;
mod tls;
