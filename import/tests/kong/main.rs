//! Files of Kong become files that the proxy accepts.

mod first;
mod table;
mod trial;
