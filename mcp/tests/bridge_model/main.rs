//! Both era bridges between models of their peers, under random and under all small interleavings:
//! every call is executed once, every question answered once, every answer arrives.

mod choices;
mod lane;
mod noise;
mod session;
