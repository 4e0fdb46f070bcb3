-- What PostgreSQL has besides the tables: whoever listens hears the number of each
-- row that was added or has changed, once its transaction is carried out.

CREATE FUNCTION tell_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF TG_OP = 'INSERT' OR (OLD.changed_at, OLD.state, OLD.status) IS DISTINCT FROM (NEW.changed_at, NEW.state, NEW.status) THEN
		PERFORM pg_notify('pixazo_' || hashtext(TG_TABLE_SCHEMA), NEW.row::text);
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER jobs_changed AFTER INSERT OR UPDATE ON jobs FOR EACH ROW EXECUTE FUNCTION tell_change();
