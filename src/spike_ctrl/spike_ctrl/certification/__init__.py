"""The proof of the promise: thousands of moving flights in virtual time, each with a fault, and what became of them."""
