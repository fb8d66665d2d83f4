#!/usr/bin/env bash
# Runs before one of three nodes is stopped. Waits until every queue has a majority
# without this node, and hands over the leaders that are here. Both have a limit: a
# cluster that is stopped whole, or has lost its majority, must not wait for long.
timeout 40 rabbitmq-upgrade await_online_quorum_plus_one --timeout 30 ||
  echo 'some queue has no majority without this node; stopping anyway'
timeout 30 rabbitmq-upgrade drain --timeout 20 || echo 'could not hand over'
