"""The proof of the safety property: thousands of flights in virtual time, each with a fault, and their outcomes."""
