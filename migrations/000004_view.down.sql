DROP VIEW log_events_with_user;
