//! What is told of a run: on the terminal while it goes on; as text, JSON, JUnit and HTML when it is over.
