//! Both era bridges between models of their peers, under random and under all small interleavings:
//! every call is executed once, every question answered once, every answer arrives.

mod all;
mod lane;
mod noise;
mod session;
mod session_tasks;
mod tasks;
