"""One echo server on many stacks.

Each is a program: its argument is the port, and it ends with its stdin. SIGTERM lets the calls that run end first,
where the stack can do that. The service `stack.Echo` takes and gives plain bytes:

- `Unary`, `Duplex`: the message comes back, but for these: "fail CODE text" ends the call with that status, "wait"
  waits half a minute, "cancelled" answers how many waits were cancelled, "metadata NAME" answers that header's value.
- `Count`: "NUMBER SIZE" answers so many messages, each with its number, filled up with dots to the size.
- `Total`: the sum of the lengths of all messages.
"""
