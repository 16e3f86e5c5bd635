//! Files of Kong become files that the proxy accepts.

mod differential;
mod first;
mod table;
mod trial;
