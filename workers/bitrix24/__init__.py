"""Speaks to a Bitrix24 portal: addresses, calls, answers and their meaning.

Knows nothing of deliveries, Redis or RQ.
"""
