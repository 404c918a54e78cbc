"""How the record is shown: masked, cut, filtered, drawn. Presenters read; they answer no request themselves."""
