//! The environment of the process, as the server asks for it.

/// The variables of the environment, and of files in its place.
pub trait Variables {
    /// Returns the value of a variable; `None` if it is unset or empty.
    fn get(&self, name: &str) -> Option<&str>;

    /// Returns the variables that set a flag under a former name, each with its present name.
    fn former_variables(&self, flag: &str) -> Vec<(String, String)>;
}
