mod damage;
pub(crate) mod encoder;
mod encodings;
mod fuzz;
mod real_files;
mod shards;
