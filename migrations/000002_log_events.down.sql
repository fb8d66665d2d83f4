DROP TABLE trail_origin;
DROP TABLE log_events;
