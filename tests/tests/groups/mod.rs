//! Groups of many over the real relay.
//!
//! **Elsewhere**: what a relay or a member could try is in `attacks/`; each rule of
//! who may what stands beside it in the engine; everything at once is in the simulation.

mod changing;
mod devices;
mod inviting;
mod large;
mod leaving;
mod making;
mod scene;
