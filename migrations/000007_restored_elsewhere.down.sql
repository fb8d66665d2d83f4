-- The default of tx keeps its offset: without it new rows would hide behind older ones.
DROP FUNCTION trail_horizon, adopt_cluster;
ALTER TABLE trail_origin DROP COLUMN tx_offset;
