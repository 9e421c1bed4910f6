mod desk;
mod dry_run;
mod matrix;
mod names;
mod rules;
mod standing;
