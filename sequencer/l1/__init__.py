"""The L1 as this chain uses it: an Ethereum node's JSON-RPC, transactions for it, and the Inbox contract.

Responsible for: asking an L1 endpoint within bounds, signing what is sent to it, and the Inbox's calls and events.
Refuses to do: decide what is posted and when (`sequencer/settlement`), read payloads (`sequencer/derive`), keep state.
"""
